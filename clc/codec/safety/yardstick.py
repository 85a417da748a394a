"""What the safety net measures by: the same image in JPEG files."""

import math

import numpy as np
from numpy.typing import NDArray

from clc.codec.linear import BLOCK, grid_shape
from clc.images.jpeg import LONGEST_SIDE, jpeg_file, read_jpeg

_SAMPLINGS = ("4:4:4", "4:2:0")
_FIRST_GUESS = 50
_COMPARABLE = 1.2  # times the size: an image may have no file that is small enough
_MOST_TRIES = 6  # guesses from the growth of files before the search bisects
_GROWTH = 0.025  # a file's log size grows about so much a step of quality


def block_errors(image: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean squared error, of 255 levels, of each block of 16×16 pixels: [⌈H/16⌉, ⌈W/16⌉]."""
    height, width = image.shape[:2]
    rows, columns = grid_shape(height, width)
    beyond = ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0))
    if any(after for _, after in beyond):
        image, picture = np.pad(image, beyond), np.pad(picture, beyond)
    difference = np.subtract(image, picture, dtype=np.float32).reshape(rows, BLOCK, columns, 3 * BLOCK)
    sums = np.einsum("rick,rick->rc", difference, difference)
    heights, widths = (np.minimum(BLOCK, side - BLOCK * np.arange(-(-side // BLOCK))) for side in (height, width))
    return sums / (3.0 * np.outer(heights, widths))


class Yardstick:
    """Errors of an image's JPEG files; each file is made when it is first needed."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image
        self._files: dict[tuple[int, str], bytes] = {}

    @property
    def exists(self) -> bool:
        """Whether JPEG has images of that size."""
        return max(self._image.shape[:2]) <= LONGEST_SIDE

    def errors(self, size: int) -> NDArray[np.float64]:
        """Mean squared error of each block in a JPEG file of `size` bytes, the better of two: [⌈H/16⌉, ⌈W/16⌉].

        0 for an image that JPEG does not have.
        """
        best = np.full(grid_shape(*self._image.shape[:2]), np.inf if self.exists else 0.0)
        quality = _FIRST_GUESS
        for sampling in _SAMPLINGS if self.exists else ():
            quality = self._quality_of_size(size, sampling, quality)
            best = np.minimum(best, block_errors(self._image, read_jpeg(self._file(quality, sampling))))
        return best

    def reaches(self, size: int) -> bool:
        """Whether there is a JPEG file of about that size."""
        return self.exists and len(self._file(1, _SAMPLINGS[-1])) <= _COMPARABLE * size

    def _quality_of_size(self, size: int, sampling: str, guess: int) -> int:
        """JPEG quality of the smallest file of at least this size, else of the largest file."""
        low, high, quality, growth, tries = 0, 100, min(guess, 99), _GROWTH, 0
        before = (0, 0.0)
        while high - low > 1:
            found = len(self._file(quality, sampling))
            if tries:
                growth = max((math.log(found) - before[1]) / (quality - before[0]), _GROWTH / 4)
            before = quality, math.log(found)
            low, high = (low, quality) if found >= size else (quality, high)
            likely = quality + round(math.log(size / found) / growth)
            tries += 1
            quality = min(max(likely, low + 1), high - 1) if tries < _MOST_TRIES else (low + high) // 2
        return high

    def _file(self, quality: int, sampling: str) -> bytes:
        if (quality, sampling) not in self._files:
            self._files[quality, sampling] = jpeg_file(self._image, quality, sampling)
        return self._files[quality, sampling]
