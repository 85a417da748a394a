"""The dictionary's reference latents while g_a still changes."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.images.patch import decode_patches
from clc.model.conditioning.int8 import dequantise, quantise
from clc.model.tiles import to_tensor, to_unit_range
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
        self._values = torch.empty(0, dtype=torch.int8)
        self._exponents = torch.empty(0, dtype=torch.int32)

    @torch.no_grad()
    def refresh(self, analysis: nn.Module) -> None:
        """Recompute all latents with a copy of the current g_a, and the exponents that quantise them."""
        self.analysis = copy.deepcopy(analysis)
        starts = range(0, len(self._pixels), _BATCH_ROWS)
        latents = [self.analysis(to_tensor(self._pixels[i : i + _BATCH_ROWS]).to(self._device)).float() for i in starts]
        self._values, self._exponents = quantise(torch.cat(latents))

    def select(self, entries: NDArray[np.int64]) -> Tensor:
        """Latents float32 [B, M, C, 16, 16] of entries [B, M]."""
        return dequantise(self._values[torch.from_numpy(entries).to(self._device)], self._exponents)

    @torch.no_grad()
    def analyse(self, pixels: Tensor) -> Tensor:
        """Latents float32 [n, C, 16, 16] of pictures uint8 [n, 256, 256, 3] outside the dictionary, quantised like its
        entries.
        """
        return dequantise(*quantise(self.analysis(to_unit_range(pixels)).float(), self._exponents))
