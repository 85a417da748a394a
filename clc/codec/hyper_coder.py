"""The coder of the hyper-latent ẑ: every channel has a table of its own."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.entropy import TableCoder, flat_integers
from clc.errors import BitstreamError
from clc.model.exact.convolution import LARGEST_INPUT


class HyperCoder:
    """Codes ẑ with frozen frequency tables.

    >>> from clc.model.priors.tables import gaussian_tables
    >>> coder = HyperCoder(TableCoder(gaussian_tables()))
    >>> channels = len(gaussian_tables().radius)
    >>> data, z_hat = coder.encode(torch.full((1, channels, 1, 2), 0.7))
    >>> coder.check_length(data, 2)
    >>> bool((coder.decode(data, (1, channels, 1, 2)) == z_hat).all()), float(z_hat.min())
    (True, 1.0)
    """

    def __init__(self, tables: TableCoder) -> None:
        self._tables = tables

    def encode(self, z: Tensor) -> tuple[bytes, Tensor]:
        """z [1, C, h, w] → its stream, and ẑ float64 of the same shape: rounded, and within what the prior takes."""
        z_hat = torch.floor(z.double() + 0.5).clamp(-LARGEST_INPUT, LARGEST_INPUT)
        stack = self._tables.empty()
        self._tables.push(stack, flat_integers(z_hat), _channels(z_hat.shape))
        return self._tables.close(stack), z_hat

    def check_length(self, data: bytes, each: int) -> None:
        """Raises BitstreamError if a stream is too short for `each` symbols of every channel."""
        self._tables.check_length(data, each)

    def decode(self, data: bytes, shape: Sequence[int]) -> Tensor:
        """ẑ float64 of shape [1, C, h, w], on the CPU. Raises BitstreamError for a stream that is damaged."""
        stack = self._tables.open(data)
        symbols = self._tables.pop(stack, _channels(shape))
        self._tables.check_end(stack)
        if np.abs(symbols).max() > LARGEST_INPUT:
            raise BitstreamError("entropy-coded stream is damaged: a value of z is out of range")
        return torch.from_numpy(symbols.reshape(tuple(shape))).double()


def _channels(shape: Sequence[int]) -> NDArray[np.int32]:
    """Table index, the channel, of each element of z in memory order."""
    return np.repeat(np.arange(shape[1], dtype=np.int32), math.prod(shape[2:]))
