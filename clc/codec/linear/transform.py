"""Images as blocks of 16×16 pixels, and blocks as coefficients of the cosine transform."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
"""Pixels along each side of a block."""
SIDE = 8
"""Pixels along each side of a part of a block, which is transformed by itself."""
PARTS = (BLOCK // SIDE) ** 2
COEFFICIENTS = SIDE**2


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the blocks that cover an image; the last ones reach beyond it."""
    return -(-height // BLOCK), -(-width // BLOCK)


class BlockGrid:
    """The blocks of a picture [H, W, 3], with border pixels repeated where they reach beyond it.

    Pixels are copied for the blocks that are asked for, not for the whole picture.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[:2]
        rows, columns = grid_shape(height, width)
        self._picture = picture
        self._down = np.minimum(np.arange(rows * BLOCK), height - 1).reshape(rows, BLOCK)
        self._across = np.minimum(np.arange(columns * BLOCK), width - 1).reshape(columns, BLOCK)

    def blocks(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [n, 16, 16, 3] of n places."""
        return self._picture[self._down[rows][:, :, None], self._across[columns][:, None, :]]


class BlockCanvas:
    """A picture [height, width, 3] in the making, whose blocks are painted. Begins as `picture`, if that is given."""

    def __init__(self, height: int, width: int, picture: NDArray[np.uint8] | None) -> None:
        rows, columns = grid_shape(height, width)
        self._size = height, width
        self._pixels = np.empty((rows * BLOCK, columns * BLOCK, 3), dtype=np.uint8)
        if picture is not None:
            self._pixels[:height, :width] = picture

    def paint(self, rows: NDArray[np.int64], columns: NDArray[np.int64], blocks: NDArray[np.uint8]) -> None:
        """Put blocks [n, 16, 16, 3] into n places."""
        grid = self._pixels.reshape(-1, BLOCK, self._pixels.shape[1] // BLOCK, BLOCK, 3)
        grid[rows, :, columns] = blocks

    def picture(self) -> NDArray[np.uint8]:
        """uint8 [height, width, 3]."""
        return np.ascontiguousarray(self._pixels[: self._size[0], : self._size[1]])


def transformed(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Red, green and blue of blocks [n, 16, 16, 3] → coefficients of their parts [n, 4, 3, 64], luminance first."""
    split = blocks.reshape(-1, 2, SIDE, 2, SIDE, 3).transpose(0, 1, 3, 5, 2, 4)
    coloured = np.einsum("dc,nabcij->nabdij", colours(), split)
    coefficients = cosines() @ coloured @ cosines().T
    return coefficients.reshape(-1, PARTS, 3, COEFFICIENTS)


def restored(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `transformed`."""
    square = coefficients.reshape(-1, 2, 2, 3, SIDE, SIDE)
    split = np.einsum("dc,nabdij->nabcij", colours(), cosines().T @ square @ cosines())
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(-1, BLOCK, BLOCK, 3)


@cache
def colours() -> NDArray[np.float64]:
    """Luminance and two differences of red, green and blue: an orthonormal matrix."""
    return np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3.0], [2.0], [6.0]])


@cache
def cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform of 8 numbers."""
    frequency, place = np.mgrid[:SIDE, :SIDE]
    basis = np.sqrt(2.0 / SIDE) * np.cos(np.pi * (2 * place + 1) * frequency / (2 * SIDE))
    basis[0] /= np.sqrt(2.0)
    return basis
