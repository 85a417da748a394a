"""The encoder's safety net: it looks at the picture that a decoder will show, and codes otherwise what came out badly.

The measure is what an engineer would use instead: no block of 16×16 pixels may be much worse than in a JPEG file of the
same size. Blocks that are get coded by a linear transform; where that does not pay, the whole image is, or it is kept
losslessly. The worst that can happen is a larger file.
"""

import io
import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.codec.bitstream import NO_DICTIONARY, Bitstream, Scope
from clc.codec.gain import lagrangian
from clc.codec.linear import BLOCK, FINENESS, LinearCoder, grid_shape
from clc.codec.lossless import lossless_file
from clc.images.jpeg import LONGEST_SIDE, jpeg_file

_WORSE = 2.4  # times the squared error of JPEG's block, at qualities from 50: 3.8 dB
_RELAXED_FROM = 50.0
_RELAXED_BY = 12.0  # below it, twice that for every 12 steps of quality: there, JPEG has no smooth blocks either
_VISIBLE = 1.0  # mean squared error, of 255 levels: below it nobody looks for differences
_SAMPLINGS = ("4:4:4", "4:2:0")
_FIRST_GUESS = 50
_CLOSE = 1.03  # times the size
_GROWTH = 0.025  # of the logarithm of a JPEG file's size, for a step of its quality
_COMPARABLE = 1.2  # times the size: an image may have no JPEG file that is small enough
_MENDED_TOO_MUCH = 0.25  # share of a file
_SAMPLED_PIXELS = 2**14
_FEW_COLOURS, _DRAWN_SHARE = 16, 0.25  # a photo's most frequent colours fill less


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
    """An image in JPEG files, as far as they are needed."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image
        self._guess = _FIRST_GUESS
        self._files: dict[tuple[int, str], bytes] = {}

    def errors(self, size: int) -> NDArray[np.float64]:
        """Mean squared error of each block in a JPEG file of `size` bytes, the better of two: [⌈H/16⌉, ⌈W/16⌉]."""
        if max(self._image.shape[:2]) > LONGEST_SIDE:
            return np.zeros(grid_shape(*self._image.shape[:2]))
        errors: NDArray[np.float64] = np.minimum(
            *(block_errors(self._image, self._of_size(size, sampling)) for sampling in _SAMPLINGS)
        )
        return errors

    def reaches(self, size: int) -> bool:
        """Whether there is a JPEG file of about that size."""
        return len(self._file(1, _SAMPLINGS[-1])) <= _COMPARABLE * size

    def _of_size(self, size: int, sampling: str) -> NDArray[np.uint8]:
        """A JPEG file that is not smaller, and at most 3 % larger if there is one."""
        low, high, quality, growth = 0, 100, self._guess, _GROWTH
        last: tuple[int, float] | None = None
        while high - low > 1:
            found = len(self._file(quality, sampling))
            if size <= found <= _CLOSE * size:
                high = quality
                break
            low, high = (low, quality) if found >= size else (quality, high)
            if last is not None:
                growth = max((math.log(found) - last[1]) / (quality - last[0]), _GROWTH / 4)
            last = quality, math.log(found)
            guess = quality + math.ceil(math.log(size / found) / growth)
            quality = guess if low < guess < high else (low + high) // 2
        self._guess = high
        with Image.open(io.BytesIO(self._file(high, sampling))) as picture:
            return np.asarray(picture)

    def _file(self, quality: int, sampling: str) -> bytes:
        if (quality, sampling) not in self._files:
            self._files[quality, sampling] = jpeg_file(self._image, quality, sampling)
        return self._files[quality, sampling]


@dataclass(frozen=True)
class Coded:
    """A stream, and the picture uint8 [H, W, 3] that a decoder makes of it."""

    stream: Bitstream
    picture: NDArray[np.uint8]


class SafetyNet:
    """Makes the coding of one image safe, at any quality."""

    def __init__(self, image: NDArray[np.uint8], coder: LinearCoder) -> None:
        self._image = image
        self._coder = coder
        self._yardstick = Yardstick(image)

    def caught(self, coded: Coded, *, keep: bool = False) -> Coded:
        """`coded`, mended where a block is far worse than in a JPEG file of its size; or the image without the network,
        where that costs less in R + λ·255²·D.

        keep: not without the network, whatever it costs, so that it can be measured.
        """
        errors = block_errors(self._image, coded.picture)
        failing = errors > _allowed(self._yardstick.errors(_size(coded)), coded.stream.header.quality)
        mended = self._mended(coded.stream, coded.picture, np.where(failing, 0, -1)) if failing.any() else coded
        doubtful = (
            self._drawn
            or len(mended.stream.blocks or b"") > _MENDED_TOO_MUCH * _size(coded)
            or self._no_better_than_jpeg(mended)
        )
        if keep or not doubtful:
            return mended
        return min([mended, *self._otherwise(coded.stream)], key=self._cost)

    def _mended(self, stream: Bitstream, prediction: NDArray[np.uint8] | None, fineness: NDArray[np.int_]) -> Coded:
        """With blocks coded ever finer until none fails; the file grows meanwhile, and JPEG's errors fall."""
        quality = stream.header.quality
        while True:
            blocks, picture = self._coder.encode(self._image, prediction, fineness, quality)
            coded = Coded(replace(stream, blocks=blocks), picture)
            failing = block_errors(self._image, picture) > _allowed(self._yardstick.errors(_size(coded)), quality)
            failing &= fineness < FINENESS - 1
            if not failing.any():
                return coded
            fineness = np.where(failing, np.maximum(fineness + 1, self._coder.first_finer(quality)), fineness)

    def _no_better_than_jpeg(self, coded: Coded) -> bool:
        size = _size(coded)
        errors, usual = block_errors(self._image, coded.picture), self._yardstick.errors(size)
        return bool(errors.mean() > usual.mean()) and self._yardstick.reaches(size)

    @cached_property
    def _drawn(self) -> bool:
        """Whether few colours fill much of the image: lossless coding may then be the smallest."""
        pixels = self._image.reshape(-1, 3)
        sample = pixels[:: max(1, len(pixels) // _SAMPLED_PIXELS)].astype(np.int64) @ [1, 256, 65536]
        counts = np.sort(np.unique(sample, return_counts=True)[1])
        return bool(counts[-_FEW_COLOURS:].sum() >= _DRAWN_SHARE * len(sample))

    @cached_property
    def _lossless(self) -> bytes | None:
        return lossless_file(self._image)

    def _otherwise(self, stream: Bitstream) -> list[Coded]:
        """Without the network: by the linear transform, and losslessly."""
        header = replace(stream.header, dictionary_id=NO_DICTIONARY, references=0, index_bits=0, scope=Scope.TILE)
        plain = Bitstream(header, np.empty((header.queries, 0), dtype=np.int64), None, None, 0)
        everywhere = np.zeros(grid_shape(header.height, header.width), dtype=np.int64)
        options = [self._mended(plain, None, everywhere)]
        if self._lossless is not None:
            options.append(Coded(replace(plain, picture=self._lossless), self._image))
        return options

    def _cost(self, coded: Coded) -> float:
        squared = float(np.square(self._image.astype(np.float64) - coded.picture).sum()) / 3
        return 8 * _size(coded) + lagrangian(coded.stream.header.quality) * squared


def _allowed(usual: NDArray[np.float64], quality: float) -> NDArray[np.float64]:
    """The error of JPEG's blocks → the largest that ours may have."""
    relaxed = 2.0 ** max(0.0, (_RELAXED_FROM - quality) / _RELAXED_BY)
    return _WORSE * relaxed * np.maximum(usual, _VISIBLE)


def _size(coded: Coded) -> int:
    return len(coded.stream.to_bytes())
