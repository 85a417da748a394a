"""The dictionary's reference latents while g_a still changes."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.model import CompressionModel
from clc.codec.references import dequantise, quantise
from clc.codec.tiles import to_tensor
from clc.images.patch import decode_patches
from clc.store import Version

_BATCH_ROWS = 16


class ReferencePool:
    """Entries' pictures, and their latents under the model as it was at the last `refresh`.

    Latents of all entries are recomputed every so many steps instead of being part of the graph: gradients reach g_a
    through the coded crop only, and a step costs the same for every M.
    """

    def __init__(self, dictionary: Version) -> None:
        batches = dictionary.batches("entries", columns=["image"], batch_rows=_BATCH_ROWS)
        self._pixels = np.concatenate([decode_patches(batch.column("image")) for batch in batches])
        self._values = torch.empty(0, dtype=torch.int8)
        self._exponents = torch.empty(0, dtype=torch.int32)

    @torch.no_grad()
    def refresh(self, model: CompressionModel) -> None:
        """Recompute all latents with the current g_a, and the exponents that quantise them."""
        starts = range(0, len(self._pixels), _BATCH_ROWS)
        latents = torch.cat([model.g_a(to_tensor(self._pixels[i : i + _BATCH_ROWS])) for i in starts])
        self._values, self._exponents = quantise(latents)

    def select(self, entries: NDArray[np.int64]) -> Tensor:
        """Latents float32 [B, M, C, 16, 16] of entries [B, M]."""
        return dequantise(self._values[torch.from_numpy(entries)], self._exponents)

    @torch.no_grad()
    def analyse(self, model: CompressionModel, pixels: NDArray[np.uint8]) -> Tensor:
        """Latents float32 [n, C, 16, 16] of pictures outside the dictionary, quantised like its entries."""
        return dequantise(*quantise(model.g_a(to_tensor(pixels)), self._exponents))
