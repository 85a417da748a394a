"""Blocks of 16×16 pixels coded by a linear transform: what catches a picture that the network fails on.

A block's difference from the network's picture, or from grey where there is none, goes through the cosine transform of
8×8 pixels and is rounded to a grid of powers of two. The grid of a quality contains that of every lower one, so no
coefficient gets worse as the quality rises. Nothing here is learned: a pattern that no photo ever showed costs what its
coefficients cost. Statistics adapt from one row of blocks to the next, in integers (docs/bitstream.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from clc.codec.adaptive import AdaptiveTable
from clc.codec.bitstream import QUALITY_STEPS
from clc.codec.entropy import TableCoder
from clc.codec.tables import SCALE_MIN, FrequencyTables

BLOCK = 16
"""Pixels along each side of a block."""
FINENESS = 7
"""How many grids a block can choose among: that of the quality, or at most 2^6, 2^5, … 2^1 if that is finer.

They do not depend on the quality, so that what is fine enough stays so as the quality rises.
"""

_SIDE = 8  # of the transform
_PARTS = (BLOCK // _SIDE) ** 2
_COEFFICIENTS = _SIDE**2
_ACTIVITIES = 16
_MIDDLE_ACTIVITY = 8
_LEAST_UNIT = -_MIDDLE_ACTIVITY
_LEVELS_PER_ACTIVITY = 3
_EXPONENT_PER_ACTIVITY = 0.36916  # of the scale: 3 levels
_TRIED = 3  # activities to either side of the likely one
_ACTIVITIES_PER_OCTAVE = 2  # 6 scale levels: a factor of 2.09
_GREY = 128
_TOGETHER = 4096  # blocks
_DC_EXPONENT = 3  # the mean of 8×8 pixels is never coarser than one level
_STEPS_AN_OCTAVE = 800  # of the exponent as a function of quality and frequency
_COARSEST_CHOICE = 7  # less the fineness: the exponent of its grid
_LARGEST = 2**14  # magnitude of a mean, in steps

# The usual grid is 2^7.99 at quality 1 and 2^4.32 at quality 100: √(18 / (λ ln 2)), optimal for their λ.
_EXPONENT_AT_1, _EXPONENT_RANGE = 6394, 2936

_FRACTION = 2**8  # mean magnitudes are kept in units of 1/256
_PRIOR_WEIGHT = 4  # parts of 8×8 that the first statistics count as
_REMEMBERED = 512  # parts after which all counts are halved

_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3.0], [2.0], [6.0]])  # orthonormal


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the blocks that cover an image; the last ones reach beyond it."""
    return -(-height // BLOCK), -(-width // BLOCK)


class LinearCoder:
    """Codes chosen blocks of a picture.

    tables: those of the latent, one for each scale level.

    >>> from clc.codec.tables import gaussian_tables
    >>> coder = LinearCoder(gaussian_tables())
    >>> picture = np.full((20, 40, 3), 200, np.uint8)
    >>> data, coded = coder.encode(picture, None, np.zeros((2, 3), int), 50.0)
    >>> np.array_equal(coder.decode(data, None, (20, 40), 50.0), coded), int(coded[0, 0, 0])
    (True, 200)
    """

    def __init__(self, tables: FrequencyTables) -> None:
        self._coder = TableCoder(tables)
        self._thresholds = _thresholds(tables)
        self._bits = _code_lengths(tables)

    def encode(
        self,
        picture: NDArray[np.uint8],
        prediction: NDArray[np.uint8] | None,
        fineness: NDArray[np.int_],
        quality: float,
    ) -> tuple[bytes, NDArray[np.uint8]]:
        """The coded blocks, and the picture [H, W, 3] that `decode` makes of them.

        prediction: uint8 [H, W, 3], to which the blocks are added; None: all blocks are coded, and nothing else.
        fineness: int [⌈H/16⌉, ⌈W/16⌉] of each block, 0 to FINENESS - 1; below 0: the prediction stays.
        """
        chosen = fineness >= 0
        own = fineness[chosen].astype(np.int32)
        blocks = _blocks_of(picture)[chosen]
        base = None if prediction is None else _blocks_of(prediction)[chosen]
        rounded = np.empty((len(blocks), _PARTS, 3, _COEFFICIENTS), dtype=np.int32)
        for some in _in_turn(len(blocks)):
            difference = blocks[some].astype(np.float64) - (_GREY if base is None else base[some])
            rounded[some] = np.floor(_transformed(difference) / _scales(quality, own[some]) + 0.5)
        coded = _Coded(chosen, own, _differences(rounded, chosen.shape) if prediction is None else rounded)
        writer = _Writer(coded, self._coder, self._bits)
        self._code(writer, chosen.shape, quality, prediction is None)
        return writer.close(), _picture(coded, prediction, picture.shape[:2], quality)

    def decode(
        self, data: bytes, prediction: NDArray[np.uint8] | None, shape: tuple[int, int], quality: float
    ) -> NDArray[np.uint8]:
        """The picture uint8 [H, W, 3] of that shape (H, W). Raises BitstreamError for damaged data."""
        grid = grid_shape(*shape)
        reader = _Reader(self._coder, data)
        self._code(reader, grid, quality, prediction is None)
        self._coder.check_end(reader.stack)
        return _picture(reader.coded(grid), prediction, shape, quality)

    @staticmethod
    def first_finer(quality: float) -> int:
        """The smallest fineness of which the grid is finer than that of the quality."""
        return max(1, _COARSEST_CHOICE - int(_exponents(quality).max()) + 1)

    def _code(self, line: "_Line", grid: tuple[int, ...], quality: float, alone: bool) -> None:
        """Write or read all rows: the same tables either way, since both know the rows before."""
        statistics = _Statistics()
        above = np.zeros(grid[1], dtype=np.int32)
        for _ in range(grid[0]):
            above = np.ones_like(above) if alone else line.chosen(_neighbours(above), statistics.chosen)
            number = int(above.sum())
            if not number:
                continue
            fineness = line.fineness(number, statistics.fineness)
            octaves = _octaves(quality, fineness)
            levels = np.searchsorted(self._thresholds, statistics.means())  # [3, 64], at middle activity
            activity = line.activity(levels, octaves, statistics.activity)
            values = line.values(activity, _levels_at(levels, activity, octaves))
            statistics.count(values, activity, octaves)


@dataclass(frozen=True)
class _Coded:
    """The n chosen blocks, row by row: chosen bool [R, C], fineness [n], values [n, 4, 3, 64] in steps."""

    chosen: NDArray[np.bool_]
    fineness: NDArray[np.int32]
    values: NDArray[np.int32]


class _Line(Protocol):
    """Where symbols go to or come from, row by row."""

    def chosen(self, contexts: NDArray[np.int32], tables: list[AdaptiveTable]) -> NDArray[np.int32]:
        """Which blocks of the next row are coded: 0 or 1 each; `contexts` say with which table."""

    def fineness(self, number: int, table: AdaptiveTable) -> NDArray[np.int32]:
        """Of the n blocks of this row: [n]."""

    def activity(
        self, levels: NDArray[np.int_], octaves: NDArray[np.int32], tables: list[AdaptiveTable]
    ) -> NDArray[np.int32]:
        """Of their parts and colours: [n, 4, 3]; 0 if all coefficients are 0. octaves: `_octaves` of the blocks [n]."""

    def values(self, activity: NDArray[np.int32], levels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Coefficients [n, 4, 3, 64], with the scale level of each."""


@dataclass
class _Statistics:
    """What the rows so far say of those to come: integers only, so that they are the same everywhere."""

    chosen: list[AdaptiveTable] = field(default_factory=lambda: [AdaptiveTable([32, 1 + 8 * n]) for n in range(4)])
    fineness: AdaptiveTable = field(default_factory=lambda: AdaptiveTable([1] * FINENESS))
    activity: list[AdaptiveTable] = field(default_factory=lambda: [AdaptiveTable([1] * _ACTIVITIES) for _ in range(3)])
    magnitudes: NDArray[np.int64] = field(default_factory=lambda: _first_means() * _PRIOR_WEIGHT)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.full((3, 1), _PRIOR_WEIGHT))

    def means(self) -> NDArray[np.int64]:
        """Mean magnitudes at middle activity, in units of 1/256: [3, 64]."""
        return self.magnitudes // self.counts

    def count(self, values: NDArray[np.int32], activity: NDArray[np.int32], octaves: NDArray[np.int32]) -> None:
        """Learn from a row: values [n, 4, 3, 64], activity [n, 4, 3], octaves [n]."""
        units = _units(activity, octaves)
        weights = np.where(activity > 0, _normalisers()[units - _LEAST_UNIT], 0)
        self.magnitudes += (np.abs(values).astype(np.int64) * weights[..., None]).sum(axis=(0, 1))
        self.counts += (activity > 0).sum(axis=(0, 1))[:, None]
        full = self.counts > _REMEMBERED
        self.magnitudes = np.where(full, self.magnitudes // 2, self.magnitudes)
        self.counts = np.where(full, self.counts // 2, self.counts)


class _Writer:
    """Notes what is to be written; a coder is a stack, so it is pushed in the end, last first."""

    def __init__(self, coded: _Coded, coder: TableCoder, bits: NDArray[np.float32]) -> None:
        self._coder, self._bits = coder, bits
        self._rows = iter(coded.chosen)
        self._fineness, self._values = coded.fineness, coded.values
        self._done, self._next = 0, 0  # blocks before this row, and before the next
        self._pushes: list[Callable[[constriction.stream.stack.AnsCoder], None]] = []

    def chosen(self, contexts: NDArray[np.int32], tables: list[AdaptiveTable]) -> NDArray[np.int32]:
        chosen = next(self._rows).astype(np.int32)
        for context, table in enumerate(tables):
            self._write(table, chosen[contexts == context])
        return chosen

    def fineness(self, number: int, table: AdaptiveTable) -> NDArray[np.int32]:
        self._done, self._next = self._next, self._next + number
        return self._write(table, self._fineness[self._done : self._next])

    def activity(
        self, levels: NDArray[np.int_], octaves: NDArray[np.int32], tables: list[AdaptiveTable]
    ) -> NDArray[np.int32]:
        values = np.abs(self._values[self._done : self._next])
        seen = np.minimum(values, self._bits.shape[1] - 1)
        best = np.zeros(values.shape[:3], dtype=np.int32)
        least = np.full(values.shape[:3], np.inf, dtype=np.float32)
        for tried in _likely_activities(values, levels, octaves):
            bits = self._bits[_levels_at(levels, tried, octaves), seen].sum(axis=3)
            best, least = np.where(bits < least, tried, best), np.minimum(bits, least)
        activities = np.where(values.any(axis=3), best, 0).astype(np.int32)
        for colour, table in enumerate(tables):
            self._write(table, activities[:, :, colour].ravel())
        return activities

    def values(self, activity: NDArray[np.int32], levels: NDArray[np.int32]) -> NDArray[np.int32]:
        values = self._values[self._done : self._next]
        symbols, tables = values[activity > 0].ravel(), levels[activity > 0].ravel()
        self._pushes.append(lambda stack: self._coder.push(stack, symbols, tables))
        return values

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


class _Reader:
    """Reads what a `_Writer` wrote."""

    def __init__(self, coder: TableCoder, data: bytes) -> None:
        self.stack = coder.open(data)
        self._coder = coder
        self._chosen: list[NDArray[np.int32]] = []
        self._fineness = [np.empty(0, dtype=np.int32)]
        self._values = [np.empty((0, _PARTS, 3, _COEFFICIENTS), dtype=np.int32)]

    def chosen(self, contexts: NDArray[np.int32], tables: list[AdaptiveTable]) -> NDArray[np.int32]:
        chosen = np.zeros_like(contexts)
        for context, table in enumerate(tables):
            here = contexts == context
            chosen[here] = self._read(table, int(here.sum()))
        self._chosen.append(chosen)
        return chosen

    def fineness(self, number: int, table: AdaptiveTable) -> NDArray[np.int32]:
        self._fineness.append(self._read(table, number))
        return self._fineness[-1]

    def activity(
        self, levels: NDArray[np.int_], octaves: NDArray[np.int32], tables: list[AdaptiveTable]
    ) -> NDArray[np.int32]:
        return np.stack([self._read(table, len(octaves) * _PARTS).reshape(-1, _PARTS) for table in tables], axis=2)

    def values(self, activity: NDArray[np.int32], levels: NDArray[np.int32]) -> NDArray[np.int32]:
        values = np.zeros(levels.shape, dtype=np.int32)
        symbols = self._coder.pop(self.stack, levels[activity > 0].ravel())
        values[activity > 0] = symbols.reshape(-1, _COEFFICIENTS)
        self._values.append(values)
        return values

    def coded(self, grid: tuple[int, int]) -> _Coded:
        """All that was read."""
        chosen = np.stack(self._chosen) > 0 if self._chosen else np.ones(grid, dtype=bool)
        return _Coded(chosen, np.concatenate(self._fineness), np.concatenate(self._values))

    def _read(self, table: AdaptiveTable, count: int) -> NDArray[np.int32]:
        symbols: NDArray[np.int32] = self.stack.decode(table.model(), count).astype(np.int32)
        table.count(symbols)
        return symbols


def _neighbours(above: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many of the three blocks above each are chosen: 0..3."""
    padded = np.pad(above, 1)
    return padded[:-2] + padded[1:-1] + padded[2:]


def _units(activity: NDArray[np.int32], octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    """How far magnitudes lie above those at middle activity, in units of 3 scale levels: [n, 4, 3]."""
    return activity - _MIDDLE_ACTIVITY + _ACTIVITIES_PER_OCTAVE * octaves[:, None, None]


def _likely_activities(
    values: NDArray[np.int32], levels: NDArray[np.int_], octaves: NDArray[np.int32]
) -> Iterator[NDArray[np.int32]]:
    """Activities [n, 4, 3] to choose among, around the one that the sum of the magnitudes suggests."""
    expected = np.exp(levels * (_EXPONENT_PER_ACTIVITY / _LEVELS_PER_ACTIVITY)).sum(axis=1)  # up to a factor
    usual = np.log(np.maximum(values.sum(axis=3), 1) / (expected * SCALE_MIN)) / _EXPONENT_PER_ACTIVITY
    middle = np.round(usual).astype(np.int32) - _units(np.zeros(values.shape[:3], dtype=np.int32), octaves)
    for step in range(-_TRIED, _TRIED + 1):
        yield np.clip(middle + step, 1, _ACTIVITIES - 1)


def _levels_at(levels: NDArray[np.int_], activity: NDArray[np.int32], octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    """Levels [3, 64] at middle activity → of coefficients [n, 4, 3, 64]."""
    raised = levels + _LEVELS_PER_ACTIVITY * _units(activity, octaves)[..., None]
    return np.clip(raised, 0, 63).astype(np.int32)


@cache
def _normalisers() -> NDArray[np.int64]:
    """256 · exp(-0.36916 u), rounded, for every unit u: the factors that bring magnitudes to middle activity."""
    units = np.arange(_LEAST_UNIT, _ACTIVITIES + _ACTIVITIES_PER_OCTAVE * 8)
    return np.round(_FRACTION * np.exp(-_EXPONENT_PER_ACTIVITY * units)).astype(np.int64)


def _first_means() -> NDArray[np.int64]:
    """Of photos, roughly: [3, 64] in units of 1/256."""
    frequency = np.add.outer(np.arange(_SIDE), np.arange(_SIDE)).ravel()
    return np.stack([_FRACTION * share // (2 * (1 + frequency)) for share in (4, 2, 2)]).astype(np.int64)


def _thresholds(tables: FrequencyTables) -> NDArray[np.int64]:
    """Mean magnitudes, in units of 1/256, from which the next scale level codes better: [63]."""
    means = []
    for radius, frequencies in tables:
        magnitudes = np.abs(np.arange(-radius, radius + 1)).astype(np.int64)
        means.append(int((magnitudes * frequencies[:-1]).sum() * _FRACTION // int(frequencies[:-1].sum())))
    return np.array([(lower + upper) // 2 for lower, upper in pairwise(means)])


def _code_lengths(tables: FrequencyTables) -> NDArray[np.float32]:
    """Bits of each magnitude at each scale level [64, n]; the last magnitude stands for all larger ones."""
    largest = int(tables.radius.max()) + 1
    bits = np.empty((len(tables), largest + 1), dtype=np.float32)
    for level, (radius, frequencies) in enumerate(tables):
        lengths = 20.0 - np.log2(frequencies)
        bits[level] = lengths[-1] + 16.0
        bits[level, : radius + 1] = lengths[radius:-1]
    return bits


@cache
def _exponents(quality: float) -> NDArray[np.int_]:
    """The grid of each coefficient at a quality is 2^e: e [3, 64]. Low frequencies become finer a little earlier."""
    hundredths = round(quality * QUALITY_STEPS) - QUALITY_STEPS
    frequency = np.add.outer(np.arange(_SIDE), np.arange(_SIDE)).ravel()
    at_quality = _EXPONENT_AT_1 - _EXPONENT_RANGE * hundredths // (99 * QUALITY_STEPS)
    turn = 3 * (frequency // 2) + np.arange(3)[:, None]  # 0..23: in which 24th of an octave
    return (at_quality + _STEPS_AN_OCTAVE * turn // 24) // _STEPS_AN_OCTAVE


def _scales(quality: float, fineness: NDArray[np.int32]) -> NDArray[np.float64]:
    """The step of every coefficient: [n, 1, 3, 64]. That of the mean does not depend on the fineness."""
    exponents = _exponents(quality)
    chosen = np.where(fineness > 0, _COARSEST_CHOICE - fineness, exponents.max())
    scales = 2.0 ** np.minimum(exponents, chosen[:, None, None, None])
    scales[..., 0] = 2.0 ** np.minimum(exponents[:, 0], _DC_EXPONENT)
    return scales


def _octaves(quality: float, fineness: NDArray[np.int32]) -> NDArray[np.int32]:
    """How much finer than usual the grids of blocks are: [n]."""
    usual = _exponents(quality)[0, _COEFFICIENTS // 2]
    finer = np.where(fineness > 0, np.maximum(usual - (_COARSEST_CHOICE - fineness), 0), 0)
    return finer.astype(np.int32)


def _picture(
    coded: _Coded, prediction: NDArray[np.uint8] | None, shape: tuple[int, ...], quality: float
) -> NDArray[np.uint8]:
    """What the coded blocks look like, in their places: uint8 [H, W, 3]."""
    values = _sums(coded.values, coded.chosen.shape) if prediction is None else coded.values
    if prediction is None:
        blocks = np.full((*coded.chosen.shape, BLOCK, BLOCK, 3), _GREY, dtype=np.uint8)
    else:
        blocks = _blocks_of(prediction).copy()
    shown = blocks[coded.chosen]
    for some in _in_turn(len(shown)):
        difference = _restored(values[some] * _scales(quality, coded.fineness[some]))
        shown[some] = np.round(np.clip(shown[some] + difference, 0.0, 255.0))
    blocks[coded.chosen] = shown
    rows, columns = coded.chosen.shape
    pixels = blocks.transpose(0, 2, 1, 3, 4).reshape(rows * BLOCK, columns * BLOCK, 3)
    return np.ascontiguousarray(pixels[: shape[0], : shape[1]])


def _in_turn(count: int) -> Iterator[slice]:
    """Some blocks at a time: in 64-bit numbers, all of a large image would not fit into memory."""
    return (slice(start, start + _TOGETHER) for start in range(0, count, _TOGETHER))


def _differences(values: NDArray[np.int32], grid: tuple[int, ...]) -> NDArray[np.int32]:
    """Of an image without a network's picture: means become differences from the one to their left, or above."""
    means = _means_of(values, grid)
    means[1:, 0] -= means[:-1, 0].copy()
    means[:, 1:] -= _means_of(values, grid)[:, :-1]
    return _with_means(values, means)


def _sums(values: NDArray[np.int32], grid: tuple[int, ...]) -> NDArray[np.int32]:
    """The inverse of `_differences`; what no image gives is bounded."""
    means = _means_of(values, grid)
    means[:, 0] = np.cumsum(means[:, 0], axis=0)
    return _with_means(values, np.clip(np.cumsum(means, axis=1), -_LARGEST, _LARGEST))


def _means_of(values: NDArray[np.int32], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """First coefficients of all blocks [R·C, 4, 3, 64], as they lie in the image: [2R, 2C, 3]."""
    own = values[..., 0].reshape(*grid, 2, 2, 3).transpose(0, 2, 1, 3, 4)
    return own.reshape(2 * grid[0], 2 * grid[1], 3).astype(np.int64)


def _with_means(values: NDArray[np.int32], means: NDArray[np.int64]) -> NDArray[np.int32]:
    changed = values.copy()
    own = means.reshape(means.shape[0] // 2, 2, means.shape[1] // 2, 2, 3).transpose(0, 2, 1, 3, 4)
    changed[..., 0] = own.reshape(values.shape[:3])
    return changed


def _blocks_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] → blocks [R, C, 16, 16, 3], with border pixels repeated where they reach beyond it."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge")
    rows, columns = grid_shape(height, width)
    return padded.reshape(rows, BLOCK, columns, BLOCK, 3).swapaxes(1, 2)


@cache
def _cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform of 8 numbers."""
    frequency, place = np.mgrid[:_SIDE, :_SIDE]
    basis = np.sqrt(2.0 / _SIDE) * np.cos(np.pi * (2 * place + 1) * frequency / (2 * _SIDE))
    basis[0] /= np.sqrt(2.0)
    return basis


def _transformed(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Red, green and blue of blocks [n, 16, 16, 3] → coefficients of their parts [n, 4, 3, 64], luminance first."""
    split = blocks.reshape(-1, 2, _SIDE, 2, _SIDE, 3).transpose(0, 1, 3, 5, 2, 4)
    coloured = np.einsum("dc,nabcij->nabdij", _COLOURS, split)
    coefficients = _cosines() @ coloured @ _cosines().T
    return coefficients.reshape(-1, _PARTS, 3, _COEFFICIENTS)


def _restored(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_transformed`."""
    square = coefficients.reshape(-1, 2, 2, 3, _SIDE, _SIDE)
    split = np.einsum("dc,nabdij->nabcij", _COLOURS, _cosines().T @ square @ _cosines())
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(-1, BLOCK, BLOCK, 3)
