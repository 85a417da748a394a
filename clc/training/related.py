"""Simulated related references: what another photo of the same scene would have shown.

General photos hardly ever have a related entry in the dictionary, and a codec that never meets one learns to ignore
references. So some references of a batch are replaced by a view of the crop's own surroundings, shifted, re-lit and
partly covered by something else.
"""

import numpy as np
from numpy.typing import NDArray

from clc.codec.tiles import TILE_SIZE


def related_view(
    source: NDArray[np.uint8], other: NDArray[np.uint8], generator: np.random.Generator, mirrored: bool
) -> NDArray[np.uint8]:
    """A 256×256 view of `source` [S, S, 3] at a random shift, with gain, offset and a rectangle taken from `other`.

    mirrored: swap left and right, as was done with what the view is a reference for.
    """
    y, x = generator.integers(source.shape[0] - TILE_SIZE + 1, size=2)
    view = source[y : y + TILE_SIZE, x : x + TILE_SIZE].astype(np.float32)
    view = view * generator.uniform(0.85, 1.15) + generator.uniform(-12.0, 12.0)
    height, width = generator.integers(16, TILE_SIZE // 2, size=2)
    top, left = generator.integers(TILE_SIZE - height), generator.integers(TILE_SIZE - width)
    view[top : top + height, left : left + width] = other[top : top + height, left : left + width]
    pixels = np.clip(np.rint(view), 0, 255).astype(np.uint8)
    return pixels[:, ::-1] if mirrored else pixels
