"""How far a picture is from an image, block by block and in all, without copies of either."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clc.codec.linear import BLOCK, grid_shape

_PIXELS_AT_ONCE = 2**18


def block_errors(image: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean squared error, of 255 levels, of each block of 16×16 pixels: [⌈H/16⌉, ⌈W/16⌉]."""
    height, width = image.shape[:2]
    sums = np.concatenate([_sums(image[rows], picture[rows]) for rows in strips(height, width)])
    heights, widths = (np.minimum(BLOCK, side - BLOCK * np.arange(-(-side // BLOCK))) for side in (height, width))
    return sums / (3.0 * np.outer(heights, widths))


def changed_pixels(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels [H, W] lie in a block of 16×16 that differs."""
    changed: NDArray[np.bool_] = (block_errors(before, after) > 0).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return changed[: before.shape[0], : before.shape[1]]


def squared_error(image: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
    """Sum of the squared errors of all pixels and colours, of 255 levels."""
    total = 0.0  # of whole numbers below 2^53: exact, in any order
    for rows in strips(*image.shape[:2]):
        difference = np.subtract(image[rows], picture[rows], dtype=np.float32).ravel()
        total += float(np.einsum("i,i->", difference, difference, dtype=np.float64))
    return total


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of whole blocks, some at a time."""
    step = BLOCK * max(1, _PIXELS_AT_ONCE // (BLOCK * width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _sums(image: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of the squared errors of each block."""
    height, width = image.shape[:2]
    rows, columns = grid_shape(height, width)
    beyond = ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0))
    if any(after for _, after in beyond):
        image, picture = np.pad(image, beyond), np.pad(picture, beyond)
    difference = np.subtract(image, picture, dtype=np.float32).reshape(rows, BLOCK, columns, 3 * BLOCK)
    sums: NDArray[np.float32] = np.einsum("rick,rick->rc", difference, difference)
    return sums
