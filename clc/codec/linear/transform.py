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


def blocks_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] → blocks [R, C, 16, 16, 3], with border pixels repeated where they reach beyond it."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge")
    rows, columns = grid_shape(height, width)
    return padded.reshape(rows, BLOCK, columns, BLOCK, 3).swapaxes(1, 2)


def image_of(blocks: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The inverse of `blocks_of`: [R, C, 16, 16, 3] → [height, width, 3]."""
    rows, columns = blocks.shape[:2]
    pixels = blocks.transpose(0, 2, 1, 3, 4).reshape(rows * BLOCK, columns * BLOCK, 3)
    return np.ascontiguousarray(pixels[:height, :width])


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
