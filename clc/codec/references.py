"""What the codec knows of a dictionary: which entries to use for a tile, and their latents."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_INT8_LIMIT = 127


class Retriever(Protocol):
    """Encoder side: finds dictionary entries for an image. `clc.dictionary.dictionary.Dictionary` is one."""

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        """Entries for an image uint8 [H, W, 3]: [T, number] for its T tiles, or [1, number] for all of it.

        The best come first; they are distinct within a row.
        """
        ...


@dataclass(frozen=True)
class ReferenceLatents:
    """The values of a dictionary under one model: int8 [K, C, 16, 16] times a power of two per channel.

    They are stored as integers so that every decoder starts from the same numbers.
    """

    values: NDArray[np.int8]
    exponents: NDArray[np.int32]
    dictionary_id: str
    model_id: str

    def __len__(self) -> int:
        return len(self.values)

    def select(self, entries: NDArray[np.int64]) -> Tensor:
        """De-quantised latents float32 [T, M, C, 16, 16] of entries [T, M].

        In memory, what a tile's references have in one channel lies together, as matching reads it.
        """
        values = torch.from_numpy(self.values[entries]).transpose(1, 2).contiguous().transpose(1, 2)
        return dequantise(values, torch.from_numpy(self.exponents))


def quantise(
    latents: Tensor, exponents: Tensor | None = None, *, finest: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """float [K, C, s, s] → int8 values of the same shape and int32 exponents [C]; value ≈ int · 2^-exponent.

    exponents: use these instead of the finest that hold the largest value of each channel; what exceeds them
    saturates.
    finest: int32 [C], exponents beyond which precision is of no use.
    """
    if exponents is None:
        largest = latents.abs().amax(dim=(0, 2, 3)).clamp(min=2.0**-24)
        exponents = torch.floor(torch.log2(_INT8_LIMIT / largest)).int()
    if finest is not None:
        exponents = torch.minimum(exponents, finest)
    scaled = torch.floor(latents * torch.exp2(exponents.float())[:, None, None] + 0.5)
    return scaled.clamp(-_INT8_LIMIT, _INT8_LIMIT).to(torch.int8), exponents


def dequantise(values: Tensor, exponents: Tensor) -> Tensor:
    """The inverse of `quantise`, for values [..., C, s, s]: float32."""
    return values.float() * torch.exp2(-exponents.float())[:, None, None]


def index_bits(entries: int) -> int:
    """Bits of one transmitted entry index: ⌈log2 K⌉."""
    return max(0, math.ceil(math.log2(entries)))
