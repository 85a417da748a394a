"""The coder of linear blocks."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from clc.codec.entropy import TableCoder
from clc.codec.linear.grids import octaves_of, scales
from clc.codec.linear.lines import CodedBlocks, Line, Reader, Writer, code_lengths_of
from clc.codec.linear.statistics import Statistics, levels_at, thresholds_of
from clc.codec.linear.transform import (
    COEFFICIENTS,
    PARTS,
    BlockCanvas,
    BlockGrid,
    grid_shape,
    restored,
    transformed,
)
from clc.errors import BitstreamError
from clc.model.priors.tables import FrequencyTables

Restore = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Coefficients [n, 4, 3, 64] → red, green and blue of blocks [n, 16, 16, 3]."""

_GREY = 128
_TOGETHER = 4096  # blocks
_STATE_BITS = 64  # state of an ANS coder
_LEAST_BITS = 0.012  # a block's least cost: an activity that always occurs takes 0.0013 bits
_LARGEST_MEAN = 2**14  # magnitude, in steps


class LinearCoder:
    """Codes chosen blocks of a picture.

    tables: those of the latent, one for each scale level.
    restore: what makes pixels of coefficients.

    >>> from clc.model.priors.tables import gaussian_tables
    >>> coder = LinearCoder(gaussian_tables())
    >>> picture = np.full((20, 40, 3), 200, np.uint8)
    >>> data, coded = coder.encode(picture, None, np.zeros((2, 3), int), 50.0)
    >>> np.array_equal(coder.decode(data, None, (20, 40), 50.0), coded), int(coded[0, 0, 0])
    (True, 200)
    """

    def __init__(self, tables: FrequencyTables, restore: Restore = restored) -> None:
        self._restore = restore
        self._coder = TableCoder(tables)
        self._thresholds = thresholds_of(tables)
        self._bits = code_lengths_of(tables)

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
        rows, columns = np.nonzero(chosen)
        blocks, base = BlockGrid(picture), None if prediction is None else BlockGrid(prediction)
        values = np.empty((len(rows), PARTS, 3, COEFFICIENTS), dtype=np.int16)
        for some in _in_turn(len(rows)):
            place = rows[some], columns[some]
            difference = blocks.blocks(*place).astype(np.float64) - (_GREY if base is None else base.blocks(*place))
            values[some] = np.floor(transformed(difference) / scales(quality, own[some]) + 0.5)
        if prediction is None:
            _take_differences(values, chosen.shape)
        coded = CodedBlocks(chosen, own, values)
        writer = Writer(coded, self._coder, self._bits)
        self._code(writer, chosen.shape, quality, prediction is None)
        return writer.close(), self._picture(coded, prediction, picture.shape[:2], quality)

    def decode(
        self, data: bytes, prediction: NDArray[np.uint8] | None, shape: tuple[int, int], quality: float
    ) -> NDArray[np.uint8]:
        """The picture uint8 [H, W, 3] of that shape (H, W). Raises BitstreamError for damaged data."""
        grid = grid_shape(*shape)
        if prediction is None and 8 * len(data) + _STATE_BITS < _LEAST_BITS * grid[0] * grid[1]:
            raise BitstreamError(f"section blocks of {len(data)} bytes is too short for {grid[0] * grid[1]} blocks")
        reader = Reader(self._coder, data)
        self._code(reader, grid, quality, prediction is None)
        self._coder.check_end(reader.stack)
        return self._picture(reader.coded(grid), prediction, shape, quality)

    def _code(self, line: Line, grid: tuple[int, ...], quality: float, alone: bool) -> None:
        """Write or read all rows: the same tables either way, since both know the rows before."""
        statistics = Statistics()
        above = np.zeros(grid[1], dtype=np.int32)
        for _ in range(grid[0]):
            above = np.ones_like(above) if alone else line.chosen(_neighbours(above), statistics.chosen)
            number = int(above.sum())
            if not number:
                continue
            fineness = line.fineness(number, statistics.fineness)
            octaves = octaves_of(quality, fineness)
            levels = np.searchsorted(self._thresholds, statistics.means())  # [3, 64], at middle activity
            activity = line.activity(levels, octaves, statistics.activity)
            values = line.values(activity, levels_at(levels, activity, octaves))
            statistics.count(values, activity, octaves)

    def _picture(
        self, coded: CodedBlocks, prediction: NDArray[np.uint8] | None, shape: tuple[int, ...], quality: float
    ) -> NDArray[np.uint8]:
        """What the coded blocks look like, in their places: uint8 [H, W, 3]. Their values may be changed by it."""
        if prediction is None:
            _take_sums(coded.values, coded.chosen.shape)
        canvas = BlockCanvas(shape[0], shape[1], prediction)
        base = None if prediction is None else BlockGrid(prediction)
        rows, columns = np.nonzero(coded.chosen)
        for some in _in_turn(len(rows)):
            place = rows[some], columns[some]
            difference = self._restore(coded.values[some] * scales(quality, coded.fineness[some]))
            shown = (_GREY if base is None else base.blocks(*place)) + difference
            canvas.paint(*place, np.round(np.clip(shown, 0.0, 255.0)).astype(np.uint8))
        return canvas.picture()


def _in_turn(count: int) -> Iterator[slice]:
    """Slices of a few blocks: in 64-bit numbers, all blocks of a large image would not fit into memory."""
    return (slice(start, start + _TOGETHER) for start in range(0, count, _TOGETHER))


def _take_differences(values: NDArray[np.int16], grid: tuple[int, ...]) -> None:
    """Make each mean its difference from the one to the left or above: for images without a network's picture."""
    own = _means_of(values, grid)
    means = own.copy()
    means[1:, 0] -= own[:-1, 0]
    means[:, 1:] -= own[:, :-1]
    _put_means(values, means)


def _take_sums(values: NDArray[np.int16], grid: tuple[int, ...]) -> None:
    """The inverse of `_take_differences`; what no image gives is bounded."""
    means = _means_of(values, grid)
    means[:, 0] = np.cumsum(means[:, 0], axis=0)
    _put_means(values, np.clip(np.cumsum(means, axis=1), -_LARGEST_MEAN, _LARGEST_MEAN))


def _means_of(values: NDArray[np.int16], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """First coefficients of all blocks [R·C, 4, 3, 64], as they lie in the image: [2R, 2C, 3]."""
    own = values[..., 0].reshape(*grid, 2, 2, 3).transpose(0, 2, 1, 3, 4)
    return own.reshape(2 * grid[0], 2 * grid[1], 3).astype(np.int64)


def _put_means(values: NDArray[np.int16], means: NDArray[np.int64]) -> None:
    own = means.reshape(means.shape[0] // 2, 2, means.shape[1] // 2, 2, 3).transpose(0, 2, 1, 3, 4)
    values[..., 0] = own.reshape(values.shape[:3])


def _neighbours(above: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many of the three blocks above each are chosen: 0..3."""
    padded = np.pad(above, 1)
    return padded[:-2] + padded[1:-1] + padded[2:]
