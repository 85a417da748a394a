"""The entropy coder: arrays of symbols and table indices in, one ANS stream out, and back.

Built on constriction's ANS coder. Symbols of one table are coded together, as one call over one array. A symbol beyond
its table's radius is coded as the table's escape followed by its value as a plain 16-bit integer.
"""

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.errors import BitstreamError
from clc.model.priors.tables import FREQUENCY_BITS, FrequencyTables

SYMBOL_LIMIT = 2**15 - 1
"""Largest magnitude of a coded symbol."""

ESCAPED_BITS = 16
"""Of a symbol beyond its table's radius, after the escape."""

_ESCAPED = constriction.stream.model.Uniform(2**ESCAPED_BITS)
_STATE_BITS = 64  # state of an ANS coder; its stream differs from the sum of code lengths by less
_ROUNDING = 0.99  # constriction rounds the frequencies once more


class TableCoder:
    """Codes blocks of symbols with frozen frequency tables; the last block pushed is the first to be popped.

    >>> from clc.model.priors.tables import gaussian_tables
    >>> coder = TableCoder(gaussian_tables())
    >>> symbols, levels = np.array([0, -3, 70], np.int32), np.array([5, 20, 1], np.int32)
    >>> stack = coder.empty()
    >>> coder.push(stack, symbols, levels)
    >>> received = coder.open(coder.close(stack))
    >>> coder.pop(received, levels)
    array([ 0, -3, 70], dtype=int32)
    """

    def __init__(self, tables: FrequencyTables) -> None:
        self._radius = tables.radius
        self._models = [
            constriction.stream.model.Categorical(frequencies / 2.0**FREQUENCY_BITS, perfect=False)
            for _, frequencies in tables
        ]
        self._least_bits = np.array([FREQUENCY_BITS - np.log2(frequencies.max()) for _, frequencies in tables])

    @staticmethod
    def empty() -> constriction.stream.stack.AnsCoder:
        """A coder without content, to push blocks onto."""
        return constriction.stream.stack.AnsCoder()

    @staticmethod
    def close(stack: constriction.stream.stack.AnsCoder) -> bytes:
        """The stream as bytes: little-endian 32-bit words."""
        return bytes(stack.get_compressed().astype("<u4").tobytes())

    @staticmethod
    def open(stream: bytes) -> constriction.stream.stack.AnsCoder:
        """A coder that pops from `stream`. Raises BitstreamError if it cannot be one."""
        if len(stream) % 4:
            raise BitstreamError(f"entropy-coded stream of {len(stream)} bytes is not a whole number of words")
        try:
            return constriction.stream.stack.AnsCoder(np.frombuffer(stream, dtype="<u4").astype(np.uint32))
        except ValueError as error:
            raise BitstreamError(f"entropy-coded stream is damaged: {error}") from error

    @staticmethod
    def check_end(stack: constriction.stream.stack.AnsCoder) -> None:
        """Raises BitstreamError unless everything that was pushed has been popped."""
        if not stack.is_empty():
            raise BitstreamError("entropy-coded stream is damaged: it holds more than its symbols")

    def check_length(self, stream: bytes, each: int) -> None:
        """Raises BitstreamError if `stream` is too short for `each` symbols of every table, whatever they are."""
        if 8 * len(stream) + _STATE_BITS < _ROUNDING * each * float(self._least_bits.sum()):
            raise BitstreamError(
                f"entropy-coded stream of {len(stream)} bytes is too short for {each * len(self._least_bits)} symbols"
            )

    def push(
        self, stack: constriction.stream.stack.AnsCoder, symbols: NDArray[np.integer], table: NDArray[np.integer]
    ) -> None:
        """Push one block: symbols [n] with the table index of each [n]. |symbol| ≤ SYMBOL_LIMIT."""
        order, groups = _groups(table)
        ordered = symbols[order]
        for index, start, stop in reversed(groups):
            radius = int(self._radius[index])
            block = ordered[start:stop].astype(np.int32)
            outside = np.abs(block) > radius
            if outside.any():
                stack.encode_reverse((block[outside] + 2**15).astype(np.int32), _ESCAPED)
            coded = np.where(outside, 2 * radius + 1, block + radius).astype(np.int32)
            stack.encode_reverse(coded, self._models[index])

    def pop(self, stack: constriction.stream.stack.AnsCoder, table: NDArray[np.integer]) -> NDArray[np.int32]:
        """Pop the block that was pushed with the same table indices [n]; returns its symbols, int32 [n]."""
        order, groups = _groups(table)
        ordered = np.empty(len(table), dtype=np.int32)
        for index, start, stop in groups:
            radius = int(self._radius[index])
            coded = stack.decode(self._models[index], stop - start)
            block = coded.astype(np.int32) - radius
            outside = coded == 2 * radius + 1
            if outside.any():
                block[outside] = stack.decode(_ESCAPED, int(outside.sum())).astype(np.int32) - 2**15
            ordered[start:stop] = block
        symbols = np.empty_like(ordered)
        symbols[order] = ordered
        return symbols


def flat_integers(tensor: Tensor) -> NDArray[np.int32]:
    """The whole numbers of a tensor in memory order, as coders take them: int32 [n]."""
    flat: NDArray[np.int32] = tensor.flatten().to(torch.int32).cpu().numpy()
    return flat


def _groups(table: NDArray[np.integer]) -> tuple[NDArray[np.int64], list[tuple[int, int, int]]]:
    """A stable order by table, and (table, start, stop) of each table that occurs."""
    # Of 16-bit numbers, NumPy's stable sort is a radix sort: eight times faster, and there are never that many tables.
    order = np.argsort(table.astype(np.int16), kind="stable")
    counts = np.bincount(table)
    stops = np.cumsum(counts)
    return order, [(int(i), int(stops[i] - counts[i]), int(stops[i])) for i in np.flatnonzero(counts)]
