"""What one plane does not explain: displacements at the nodes of a grid, beside the corners of an aligned reference.

A pixel of the image is displaced first, and then projected to the photo. All of it is exact: displacements are whole
numbers of steps, and the weights between nodes are multiples of a power of two.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPACINGS = (128, 64, 32)
"""Pixels of the image from one node to the next."""
NODE_STEPS = 8
"""Displacements of nodes are in steps of 1/NODE_STEPS pixel."""
MAX_NODE = 2**10
"""Of the displacement of a node, in steps."""


def node_counts(height: int, width: int, spacing: int) -> tuple[int, int]:
    """Rows and columns of nodes over an image: one in the middle of each cell; the last may reach beyond the image."""
    return math.ceil(height / spacing), math.ceil(width / spacing)


@dataclass(frozen=True, eq=False)
class Displacements:
    """spacing: pixels between nodes. values: int32 [rows, columns, 2], x and y of each node, in steps.

    >>> grid = Displacements(32, np.array([[[0, 0], [8, -64]]], dtype=np.int32))
    >>> grid.at(np.array([0]), np.array([0, 31, 47, 99])).tolist()
    [[[0.0, 0.0], [0.484375, -3.875], [0.984375, -7.875], [1.0, -8.0]]]
    """

    spacing: int
    values: NDArray[np.int32]

    def at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the pixels in these rows and columns, in pixels: [r, c, 2]. Beyond the outer nodes, theirs."""
        height, width, _ = self.values.shape
        top, down = self._between(rows, height)
        left, across = self._between(columns, width)
        below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
        whole = 2 * self.spacing
        values = self.values.astype(np.int64)
        lines = values[top] * (whole - down)[:, None, None] + values[below] * down[:, None, None]
        sums = lines[:, left] * (whole - across)[:, None] + lines[:, beside] * across[:, None]
        return sums / float(NODE_STEPS * whole**2)

    def _between(self, place: NDArray[np.int64], number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The node before each pixel's centre, and how far that lies behind it, in halves of a pixel."""
        whole = 2 * self.spacing
        steps = np.clip(2 * place + 1 - self.spacing, 0, whole * (number - 1))
        return steps // whole, steps % whole
