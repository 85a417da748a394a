"""The dictionary's reference latents while g_a still changes."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from clc.images.patch import decode_patches
from clc.model.conditioning.fusion import Features
from clc.model.conditioning.int8 import dequantise, quantise
from clc.model.tiles import to_tensor, to_unit_range
from clc.model.transforms.convolutional import ConvolutionalAnalysis
from clc.store import Version

_BATCH_ROWS = 16


class ReferencePool:
    """Entries' pictures, and their latents under the g_a of the last `refresh`.

    Latents of all entries are recomputed every so many steps instead of being part of the graph: gradients reach g_a
    through the coded crop only, and a step costs the same for every M.

    analysis: the g_a that the latents were made with; a checkpoint holds it, so that a resumed run has the same ones.
    """

    analysis: nn.Module

    def __init__(self, dictionary: Version, device: torch.device) -> None:
        batches = dictionary.batches("entries", columns=["image"], batch_rows=_BATCH_ROWS)
        self._pixels = np.concatenate([decode_patches(batch.column("image")) for batch in batches])
        self._device = device
        self._values: Tensor | None = None
        self._exponents = torch.empty(0, dtype=torch.int32)

    @torch.no_grad()
    def refresh(self, analysis: nn.Module) -> None:
        """Recompute all latents with a copy of the current g_a, and the exponents that quantise them.

        In place from the second time on: a captured step finds them where they were.
        """
        if self._values is None:
            self.analysis = copy.deepcopy(analysis)
        else:
            self.analysis.load_state_dict(analysis.state_dict())
        starts = range(0, len(self._pixels), _BATCH_ROWS)
        latents = [self.analysis(to_tensor(self._pixels[i : i + _BATCH_ROWS]).to(self._device)).float() for i in starts]
        values, exponents = quantise(torch.cat(latents))
        if self._values is None:
            self._values, self._exponents = values, exponents
        else:
            self._values.copy_(values)
            self._exponents.copy_(exponents)

    def select(self, entries: Tensor) -> Tensor:
        """Latents float32 [B, M, C, 16, 16] of entries int64 [B, M]. Only after `refresh`."""
        assert self._values is not None
        return dequantise(self._values[entries.to(self._device)], self._exponents)

    @torch.no_grad()
    def analyse(self, pixels: Tensor) -> Tensor:
        """Latents float32 [n, C, 16, 16] of pictures uint8 [n, 256, 256, 3] outside the dictionary, quantised like its
        entries.
        """
        return dequantise(*quantise(self.analysis(to_unit_range(pixels)).float(), self._exponents))

    @torch.no_grad()
    def with_features(self, pixels: Tensor, number: int) -> tuple[Tensor, Features]:
        """Latents of pictures uint8 [B · number, 256, 256, 3], as `analyse` gives them, [B, number, C, 16, 16], and
        what fusion takes of them: [B, number, w, h, w'] at each scale.
        """
        assert isinstance(self.analysis, ConvolutionalAnalysis), "fuses"
        latent, features = self.analysis.with_features(to_unit_range(pixels))
        latent = dequantise(*quantise(latent.float(), self._exponents))
        return latent.unflatten(0, (-1, number)), tuple(each.unflatten(0, (-1, number)) for each in features)
