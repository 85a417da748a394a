"""Section displacements of a stream: the grids that refine aligned references (docs/bitstream.md).

Each node is predicted by the mean of those to the left and above. What is missing is coded with a table that adapts
from row to row.
"""

from collections.abc import Callable

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.codec.adaptive_tables import WEIGHT, AdaptiveTable
from clc.codec.entropy import TableCoder
from clc.codec.packing import check_range
from clc.codec.references.displacements import MAX_NODE, SPACINGS, Displacements, node_counts
from clc.errors import BitstreamError

Grids = tuple[Displacements | None, ...]
"""One for each reference; None where the corners say everything."""
Bits = Callable[[NDArray[np.int32]], NDArray[np.float64]]
"""About what each number of a grid [rows, columns, 2] takes."""

_DIRECT = 15  # magnitudes up to it are symbols of their own
_ESCAPE = 2 * _DIRECT + 1
_FARTHEST = 2 * MAX_NODE  # from a node to its prediction
_ESCAPED = constriction.stream.model.Uniform(2 * _FARTHEST + 1)
_FIRST_COUNTS = np.array([*(1 + 64 // 2 ** (abs(symbol - _DIRECT) // 2) for symbol in range(_ESCAPE)), 1])
_MOST_NODES = 2**16  # of a grid

_Row = NDArray[np.int32]
_Coded = Callable[[_Row], _Row]
"""Writes a row and gives it back, or reads one as long as it."""


def pack_displacements(grids: Grids) -> bytes | None:
    """The section; None if no reference has a grid."""
    if not any(grid is not None for grid in grids):
        return None
    writer = _Writer()
    for grid in grids:
        if grid is not None:
            _code(_missing(grid.values), writer)
    return bytes(0 if grid is None else 1 + SPACINGS.index(grid.spacing) for grid in grids) + writer.close()


def read_displacements(section: bytes | None, references: int, height: int, width: int) -> Grids:
    """One for each reference of an image of that size. Raises BitstreamError for a section that makes no sense."""
    if section is None:
        return (None,) * references
    if len(section) < references:
        raise BitstreamError("section displacements is too short for the references")
    kinds = section[:references]
    for kind in kinds:
        check_range("the spacing of displacements", kind, 0, len(SPACINGS))
    if not any(kinds):
        raise BitstreamError("section displacements has no displacements")
    reader = _Reader(section[references:])
    grids = tuple(_read(SPACINGS[kind - 1], height, width, reader) if kind else None for kind in kinds)
    TableCoder.check_end(reader.stack)
    return grids


def bits_like(values: NDArray[np.int32]) -> Bits:
    """What numbers take, by the first counts and those of a grid of values [rows, columns, 2]."""
    counts = _FIRST_COUNTS + WEIGHT * np.bincount(_symbols(_missing(values)).ravel(), minlength=_ESCAPE + 1)
    table = -np.log2(counts / counts.sum())
    table[_ESCAPE] += np.log2(2 * _FARTHEST + 1)
    return lambda others: table[_symbols(_missing(others))]


def is_allowed(height: int, width: int, spacing: int) -> bool:
    """Whether an image of that size may have such a grid: it has few enough nodes."""
    rows, columns = node_counts(height, width, spacing)
    return rows * columns <= _MOST_NODES


def _read(spacing: int, height: int, width: int, reader: "_Reader") -> Displacements:
    if not is_allowed(height, width, spacing):
        raise BitstreamError(f"displacements every {spacing} pixels are too many for {width}x{height} pixels")
    missing = np.zeros((*node_counts(height, width, spacing), 2), dtype=np.int32)
    return Displacements(spacing, _sums(_code(missing, reader)))


def _code(missing: NDArray[np.int32], coded: _Coded) -> NDArray[np.int32]:
    """Write or read what is missing [rows, columns, 2]."""
    return np.stack([coded(row.ravel()).reshape(row.shape) for row in missing])


class _Writer:
    """Notes what is to be written; a coder is a stack, so it is pushed in the end, last first."""

    def __init__(self) -> None:
        self._table = AdaptiveTable(_FIRST_COUNTS)
        self._pushes: list[Callable[[constriction.stream.stack.AnsCoder], None]] = []

    def __call__(self, row: _Row) -> _Row:
        symbols, model = _symbols(row), self._table.model()
        escaped = (row[symbols == _ESCAPE] + _FARTHEST).astype(np.int32)
        self._pushes.append(lambda stack: stack.encode_reverse(symbols, model))
        if len(escaped):
            self._pushes.append(lambda stack: stack.encode_reverse(escaped, _ESCAPED))
        self._table.count(symbols)
        return row

    def close(self) -> bytes:
        """All of it as bytes."""
        stack = TableCoder.empty()
        for push in reversed(self._pushes):
            push(stack)
        return TableCoder.close(stack)


class _Reader:
    """Reads what a `_Writer` wrote."""

    def __init__(self, data: bytes) -> None:
        self.stack = TableCoder.open(data)
        self._table = AdaptiveTable(_FIRST_COUNTS)

    def __call__(self, row: _Row) -> _Row:
        symbols: _Row = self.stack.decode(self._table.model(), len(row)).astype(np.int32)
        self._table.count(symbols)
        values = symbols - _DIRECT
        outside = symbols == _ESCAPE
        if outside.any():
            values[outside] = self.stack.decode(_ESCAPED, int(outside.sum())).astype(np.int32) - _FARTHEST
        return values


def _symbols(missing: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(np.abs(missing) > _DIRECT, _ESCAPE, missing + _DIRECT).astype(np.int32)


def _missing(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of nodes [rows, columns, 2]: each less the mean, rounded down, of those to the left and above; of one, that."""
    left, above = np.zeros_like(values), np.zeros_like(values)
    left[:, 1:], above[1:] = values[:, :-1], values[:-1]
    left[1:, 0], above[0] = above[1:, 0], left[0]
    return values - (left + above) // 2


def _sums(missing: NDArray[np.int32]) -> NDArray[np.int32]:
    """The inverse of `_missing`. Raises BitstreamError for a node that is displaced too far."""
    values = missing.tolist()
    for row, line in enumerate(values):
        for column, node in enumerate(line):
            left = line[column - 1] if column else values[row - 1][0] if row else (0, 0)
            above = values[row - 1][column] if row else left
            for axis in range(2):
                node[axis] += (left[axis] + above[axis]) // 2
                if abs(node[axis]) > MAX_NODE:
                    raise BitstreamError(f"a node of displacements lies {node[axis]:,} steps away, above {MAX_NODE:,}")
    return np.array(values, dtype=np.int32)
