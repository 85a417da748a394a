"""Where the symbols of blocks go to or come from, row by row: an encoder's line and a decoder's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.codec.adaptive_tables import AdaptiveTable
from clc.codec.entropy import ESCAPED_BITS, TableCoder
from clc.codec.linear.statistics import ACTIVITIES, EXPONENT_PER_ACTIVITY, levels_at, units
from clc.codec.linear.transform import COEFFICIENTS, PARTS
from clc.model.priors.tables import FREQUENCY_BITS, LOG_SCALE_STEP, SCALE_MIN, FrequencyTables

# Activity 0 is the last symbol, not the first: an ANS coder would take any number of those for nothing, and a decoder
# could not tell a file of few bytes from a hostile one.
_QUIETEST = ACTIVITIES - 1
_TRIED = 3  # activities to either side of the likely one


@dataclass(frozen=True)
class CodedBlocks:
    """The n chosen blocks, row by row: chosen bool [R, C], fineness [n], values [n, 4, 3, 64] in steps.

    The values of a large photo are hundreds of megabytes in 16 bits, which hold any symbol.
    """

    chosen: NDArray[np.bool_]
    fineness: NDArray[np.int32]
    values: NDArray[np.int16]


class Line(Protocol):
    """Where symbols go to or come from, row by row."""

    def chosen(self, contexts: NDArray[np.int32], tables: list[AdaptiveTable]) -> NDArray[np.int32]:
        """Which blocks of the next row are coded: 0 or 1 each; `contexts` say with which table."""

    def fineness(self, number: int, table: AdaptiveTable) -> NDArray[np.int32]:
        """Fineness of the n coded blocks of this row: [n]."""

    def activity(
        self, levels: NDArray[np.int_], octaves: NDArray[np.int32], tables: list[AdaptiveTable]
    ) -> NDArray[np.int32]:
        """Activity of each part and colour: [n, 4, 3]; 0 if all its coefficients are 0.

        octaves: `octaves_of` the blocks [n].
        """

    def values(self, activity: NDArray[np.int32], levels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Coefficients [n, 4, 3, 64], with the scale level of each."""


class Writer:
    """Notes what is to be written; a coder is a stack, so it is pushed in the end, last first."""

    def __init__(self, coded: CodedBlocks, coder: TableCoder, bits: NDArray[np.float32]) -> None:
        self._coder, self._bits = coder, bits
        self._rows = iter(coded.chosen)
        self._fineness, self._values = coded.fineness, coded.values
        self._levels: NDArray[np.int_] = np.empty((3, COEFFICIENTS), dtype=np.int_)  # of the row, at middle activity
        self._octaves: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._done, self._next = 0, 0  # blocks before this row, and before the next
        self._pushes: list[Callable[[constriction.stream.stack.AnsCoder], None]] = []

    def chosen(self, contexts: NDArray[np.int32], tables: list[AdaptiveTable]) -> NDArray[np.int32]:
        """Notes which blocks of the next row are coded."""
        chosen = next(self._rows).astype(np.int32)
        for context, table in enumerate(tables):
            self._write(table, chosen[contexts == context])
        return chosen

    def fineness(self, number: int, table: AdaptiveTable) -> NDArray[np.int32]:
        """Notes the fineness of this row's coded blocks."""
        self._done, self._next = self._next, self._next + number
        return self._write(table, self._fineness[self._done : self._next])

    def activity(
        self, levels: NDArray[np.int_], octaves: NDArray[np.int32], tables: list[AdaptiveTable]
    ) -> NDArray[np.int32]:
        """Chooses and notes the activity that costs least."""
        self._levels, self._octaves = levels, octaves
        values = np.abs(self._values[self._done : self._next].astype(np.int32))
        seen = np.minimum(values, self._bits.shape[1] - 1)
        best = np.zeros(values.shape[:3], dtype=np.int32)
        least = np.full(values.shape[:3], np.inf, dtype=np.float32)
        for tried in _likely_activities(values, levels, octaves):
            bits = self._bits[levels_at(levels, tried, octaves), seen].sum(axis=3)
            best, least = np.where(bits < least, tried, best), np.minimum(bits, least)
        activities = np.where(values.any(axis=3), best, 0).astype(np.int32)
        for colour, table in enumerate(tables):
            self._write(table, _QUIETEST - activities[:, :, colour].ravel())
        return activities

    def values(self, activity: NDArray[np.int32], levels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Notes the coefficients of this row's coded blocks."""
        values, usual, octaves = self._values[self._done : self._next], self._levels, self._octaves

        def push(stack: constriction.stream.stack.AnsCoder) -> None:
            tables = levels_at(usual, activity, octaves)  # again: those of all rows would not fit into memory
            self._coder.push(stack, values[activity > 0].ravel(), tables[activity > 0].ravel())

        self._pushes.append(push)
        return values.astype(np.int32)

    def close(self) -> bytes:
        """All of it as bytes."""
        stack = self._coder.empty()
        for push in reversed(self._pushes):
            push(stack)
        return self._coder.close(stack)

    def _write(self, table: AdaptiveTable, symbols: NDArray[np.int32]) -> NDArray[np.int32]:
        model = table.model()
        self._pushes.append(lambda stack: stack.encode_reverse(symbols, model))
        table.count(symbols)
        return symbols


class Reader:
    """Reads what a `Writer` wrote."""

    def __init__(self, coder: TableCoder, data: bytes) -> None:
        self.stack = coder.open(data)
        self._coder = coder
        self._chosen: list[NDArray[np.int32]] = []
        self._fineness = [np.empty(0, dtype=np.int32)]
        self._values = [np.empty((0, PARTS, 3, COEFFICIENTS), dtype=np.int16)]

    def chosen(self, contexts: NDArray[np.int32], tables: list[AdaptiveTable]) -> NDArray[np.int32]:
        """Reads which blocks of the next row are coded."""
        chosen = np.zeros_like(contexts)
        for context, table in enumerate(tables):
            here = contexts == context
            chosen[here] = self._read(table, int(here.sum()))
        self._chosen.append(chosen)
        return chosen

    def fineness(self, number: int, table: AdaptiveTable) -> NDArray[np.int32]:
        """Reads the fineness of this row's coded blocks."""
        self._fineness.append(self._read(table, number))
        return self._fineness[-1]

    def activity(
        self, levels: NDArray[np.int_], octaves: NDArray[np.int32], tables: list[AdaptiveTable]
    ) -> NDArray[np.int32]:
        """Reads the activity of this row's coded blocks."""
        read = [self._read(table, len(octaves) * PARTS).reshape(-1, PARTS) for table in tables]
        return _QUIETEST - np.stack(read, axis=2)

    def values(self, activity: NDArray[np.int32], levels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Reads the coefficients of this row's coded blocks."""
        values = np.zeros(levels.shape, dtype=np.int32)
        symbols = self._coder.pop(self.stack, levels[activity > 0].ravel())
        values[activity > 0] = symbols.reshape(-1, COEFFICIENTS)
        self._values.append(values.astype(np.int16))
        return values

    def coded(self, grid: tuple[int, int]) -> CodedBlocks:
        """All that was read."""
        chosen = np.stack(self._chosen) > 0 if self._chosen else np.ones(grid, dtype=bool)
        return CodedBlocks(chosen, np.concatenate(self._fineness), np.concatenate(self._values))

    def _read(self, table: AdaptiveTable, count: int) -> NDArray[np.int32]:
        symbols: NDArray[np.int32] = self.stack.decode(table.model(), count).astype(np.int32)
        table.count(symbols)
        return symbols


def _likely_activities(
    values: NDArray[np.int32], levels: NDArray[np.int_], octaves: NDArray[np.int32]
) -> Iterator[NDArray[np.int32]]:
    """Activities [n, 4, 3] to choose among, around the one that the sum of the magnitudes suggests."""
    expected = (SCALE_MIN * np.exp(levels * LOG_SCALE_STEP)).sum(axis=1)
    usual = np.log(np.maximum(values.sum(axis=3), 1) / expected) / EXPONENT_PER_ACTIVITY
    middle = np.round(usual).astype(np.int32) - units(np.zeros(values.shape[:3], dtype=np.int32), octaves)
    for step in range(-_TRIED, _TRIED + 1):
        yield np.clip(middle + step, 1, ACTIVITIES - 1)


def code_lengths_of(tables: FrequencyTables) -> NDArray[np.float32]:
    """Bits of each magnitude at each scale level [64, n]; the last magnitude stands for all larger ones."""
    largest = int(tables.radius.max()) + 1
    bits = np.empty((len(tables), largest + 1), dtype=np.float32)
    for level, (radius, frequencies) in enumerate(tables):
        lengths = FREQUENCY_BITS - np.log2(frequencies)
        bits[level] = lengths[-1] + ESCAPED_BITS
        bits[level, : radius + 1] = lengths[radius:-1]
    return bits
