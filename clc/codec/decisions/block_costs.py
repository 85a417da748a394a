"""Roughly the bits that a picture takes, alone or after another was subtracted: block by block, from pixels.

Only ratios mean something. The search for references asks it: it cannot code a picture with everything there is.
"""

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
"""Pixels along each side of what is explained by one picture."""
_NOISE = 36.0  # of a pixel, squared: what differs by less costs next to nothing


def costs_after(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Cost [rows, columns] of the whole blocks of uint8 [H, W, 3] where another of its size predicts it."""
    return _costs(image, other)


def costs_alone(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Cost [rows, columns] of the whole blocks of uint8 [H, W, 3], each predicted by its own mean."""
    means = image.astype(np.float64)
    rows, columns = (side // BLOCK for side in image.shape[:2])
    blocks = means[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3)
    blocks[:] = blocks.mean(axis=(1, 3), keepdims=True)
    return _costs(image, means)


def _costs(image: NDArray[np.uint8], other: NDArray[np.uint8] | NDArray[np.float64]) -> NDArray[np.float64]:
    squared = ((image.astype(np.float64) - other) ** 2).mean(axis=2)
    rows, columns = (side // BLOCK for side in squared.shape)
    cut = squared[: rows * BLOCK, : columns * BLOCK]
    costs: NDArray[np.float64] = np.log1p(cut.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)) / _NOISE)
    return costs
