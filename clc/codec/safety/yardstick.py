"""What the safety net measures by: the same image in JPEG files."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clc.codec.linear import BLOCK, grid_shape
from clc.codec.safety.block_errors import block_errors
from clc.images.jpeg import LONGEST_SIDE, jpeg_file, read_jpeg
from clc.runtime.advance import Step, advanced

_SAMPLINGS = ("4:4:4", "4:2:0")
_FIRST_GUESS = 50
_COMPARABLE = 1.2  # times the size: an image may have no file that is small enough
_MOST_TRIES = 6  # guesses from the growth of files before the search bisects
_WHOLE = 2**25  # pixels up to which an image is one JPEG file
_STRIP = 2**23
_GROWTH = 0.025  # a file's log size grows about so much a step of quality


class Yardstick:
    """Errors of an image's JPEG files; each file is made when it is first needed, and not kept."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image
        self._sizes: dict[tuple[int, str], int] = {}
        self._errors: dict[tuple[int, str], NDArray[np.float64]] = {}
        self._files: dict[tuple[int, str], list[bytes]] = {}  # made by the search that goes on

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
            best = np.minimum(best, self._errors_at(quality, sampling))
            self._files.clear()
        return best

    def reaches(self, size: int) -> bool:
        """Whether there is a JPEG file of about that size."""
        return self.exists and self._size(1, _SAMPLINGS[-1]) <= _COMPARABLE * size

    def _quality_of_size(self, size: int, sampling: str, guess: int) -> int:
        """JPEG quality of the smallest file of at least this size, else of the largest file."""
        low, high, quality, growth, tries = 0, 100, min(guess, 99), _GROWTH, 0
        before = (0, 0.0)
        while high - low > 1:
            found = self._size(quality, sampling)
            if tries:
                growth = max((math.log(found) - before[1]) / (quality - before[0]), _GROWTH / 4)
            before = quality, math.log(found)
            low, high = (low, quality) if found >= size else (quality, high)
            likely = quality + round(math.log(size / found) / growth)
            tries += 1
            quality = min(max(likely, low + 1), high - 1) if tries < _MOST_TRIES else (low + high) // 2
        return high

    def _size(self, quality: int, sampling: str) -> int:
        if (quality, sampling) not in self._sizes:
            self._sizes[quality, sampling] = sum(map(len, self._file(quality, sampling)))
        return self._sizes[quality, sampling]

    def _errors_at(self, quality: int, sampling: str) -> NDArray[np.float64]:
        if (quality, sampling) not in self._errors:
            parts = zip(self._strips(), self._file(quality, sampling), strict=True)
            errors = [block_errors(self._image[rows], read_jpeg(part)) for rows, part in parts]
            self._errors[quality, sampling] = np.concatenate(errors)
        return self._errors[quality, sampling]

    def _file(self, quality: int, sampling: str) -> list[bytes]:
        """Of a large photo, in strips, each a file of its own: libjpeg would hold the coefficients of all of it."""
        if (quality, sampling) not in self._files:
            parts = self._files[quality, sampling] = []
            for rows in self._strips():
                parts.append(jpeg_file(self._image[rows], quality, sampling))
                if rows.stop - rows.start < len(self._image):
                    advanced(Step.CHECK, rows.stop / len(self._image))
        return self._files[quality, sampling]

    def _strips(self) -> Iterator[slice]:
        height, width = self._image.shape[:2]
        step = height if height * width <= _WHOLE else BLOCK * max(1, _STRIP // (BLOCK * width))
        return (slice(top, min(top + step, height)) for top in range(0, height, step))
