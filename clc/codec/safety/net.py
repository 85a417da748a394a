"""The encoder's safety net: it looks at the picture that a decoder will show, and codes bad blocks in another way.

The measure is what an engineer would use instead: no block of 16×16 pixels may be much worse than in a JPEG file of the
same size. A worse one is coded by a linear transform. Where that does not pay, the whole image is, or it becomes a
lossless file. The worst that can happen is a larger file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.linear import FINENESS, LinearCoder, first_finer, grid_shape
from clc.codec.lossless import lossless_file
from clc.codec.safety.block_errors import block_errors, squared_error
from clc.codec.safety.yardstick import Yardstick
from clc.codec.stream_header import NO_DICTIONARY, Scope
from clc.model.gain import lagrangian

_WORSE = 2.4  # times the squared error of JPEG's block, at qualities from 50: 3.8 dB
_RELAXED_FROM = 50.0
_RELAXED_BY = 12.0  # below it, twice that for every 12 steps of quality: there, JPEG has no smooth blocks either
_VISIBLE = 1.0  # mean squared error, of 255 levels: below it no difference is seen
_HOPELESS = 0.5  # share of failing blocks from which on mending them is not tried
_MANY = 0.005  # share of failing blocks; in nearly all photos it is lower
_MENDED_TOO_MUCH = 0.25  # share of a file that mended blocks may take before the image is doubtful
_FEW_COLOURS, _DRAWN_SHARE = 16, 0.25  # the most frequent colours of most photos fill less
_SAMPLED_PIXELS, _SAMPLED_ROWS = 2**14, 64
# Times JPEG's squared error, at two qualities: on photos the network is better. Where it is not, it becomes worse as
# the quality rises: what is doubtful at one quality stays so.
_HARDLY_BETTER = (0.75, 0.50)
_HARDLY_BETTER_AT = (30.0, 90.0)
_LARGE = 2**25  # pixels
_NEARLY = 1.15  # times the least cost


@dataclass(frozen=True)
class Candidate:
    """A stream, and the picture uint8 [H, W, 3] that a decoder makes of it.

    doubtful: the network is hardly better than JPEG, or many of its blocks came out badly.
    """

    stream: Bitstream
    picture: NDArray[np.uint8]
    doubtful: bool = False


class SafetyNet:
    """Makes the coding of one image safe, at any quality."""

    def __init__(self, image: NDArray[np.uint8], coder: LinearCoder) -> None:
        self._image = image
        self._coder = coder
        self._yardstick = Yardstick(image)

    def caught(self, coded: Candidate, *, keep: bool = False) -> Candidate:
        """`coded`, with blocks mended that are far worse than in a JPEG file of its size.

        Or the image coded without the network, if that costs less in R + λ·255²·D.
        keep: stay with the network at any cost, to measure it.
        """
        errors = block_errors(self._image, coded.picture)
        usual, quality = self._yardstick.errors(_size(coded)), coded.stream.header.quality
        failing = errors > _allowed(usual, quality)
        if failing.mean() > _HOPELESS and not keep:
            whole: list[Candidate | None] = [self._without_network(coded.stream)]
            if not self._large or self._is_simple(coded):
                whole.append(self._losslessly(coded.stream))
            return replace(self._fairest([each for each in whole if each is not None]), doubtful=True)
        mended = self._mended(coded.stream, coded.picture, failing, quality) if failing.any() else coded
        if keep:
            return mended
        doubtful = self._is_doubtful(coded, mended, failing)
        # When another way of coding is tried, and the way.
        alternatives: tuple[tuple[bool, Callable[[], Candidate | None]], ...] = (
            (doubtful and quality < _RELAXED_FROM, lambda: self._mended_strictly(coded, errors, usual)),
            (doubtful, lambda: self._without_network(coded.stream)),
            ((doubtful and not self._large) or self._is_simple(mended), lambda: self._losslessly(coded.stream)),
        )
        others = [code() for applies, code in alternatives if applies]
        fairest = self._fairest([mended, *(each for each in others if each is not None)])
        return replace(fairest, doubtful=doubtful)

    def _fairest(self, options: list[Candidate]) -> Candidate:
        """At nearly equal cost, the better picture: a higher quality then rarely switches to a worse one."""
        least = min(map(self.cost, options))
        fair = [each for each in options if self.cost(each) <= _NEARLY * least]
        return min(fair, key=lambda each: self.error(each.picture))

    def error(self, picture: NDArray[np.uint8]) -> float:
        """Sum of the squared errors of all pixels and colours, of 255 levels."""
        return squared_error(self._image, picture)

    def cost(self, coded: Candidate) -> float:
        """R + λ·255²·D, in bits, of a stream and its picture as they are."""
        return 8 * _size(coded) + lagrangian(coded.stream.header.quality) * self.error(coded.picture) / 3

    def _is_doubtful(self, coded: Candidate, mended: Candidate, failing: NDArray[np.bool_]) -> bool:
        """Many blocks failed, or mending them took much of the file, or all of it is hardly better than JPEG."""
        return (
            bool(failing.mean() > _MANY)
            or len(mended.stream.blocks or b"") > _MENDED_TOO_MUCH * _size(coded)
            or self._hardly_better_than_jpeg(mended)
        )

    def _is_simple(self, mended: Candidate) -> bool:
        """A lossless file may cost the least."""
        return self._drawn or self._lossless_bits <= self.cost(mended)

    def _mended_strictly(self, coded: Candidate, errors: NDArray[np.float64], usual: NDArray[np.float64]) -> Candidate:
        """Mended by the limit of quality 50. Where many blocks fail, the relaxed limit below it lets too much pass."""
        failing = errors > _allowed(usual, _RELAXED_FROM)
        return self._mended(coded.stream, coded.picture, failing, _RELAXED_FROM)

    def _without_network(self, stream: Bitstream) -> Candidate:
        plain = _emptied(stream)
        every = np.ones(grid_shape(*self._image.shape[:2]), dtype=np.bool_)
        return self._mended(plain, None, every, plain.header.quality)

    def _losslessly(self, stream: Bitstream) -> Candidate | None:
        """The image as a lossless WebP file; None where WebP cannot hold it."""
        if self._lossless is None:
            return None
        return Candidate(replace(_emptied(stream), picture=self._lossless), self._image)

    def _mended(
        self, stream: Bitstream, prediction: NDArray[np.uint8] | None, failing: NDArray[np.bool_], limit: float
    ) -> Candidate:
        """The image with its failing blocks coded, ever finer until none fails.

        The file grows meanwhile, so JPEG's errors at its size fall.

        limit: the quality whose limit of errors holds, the stream's or a stricter one.
        """
        fineness = np.where(failing, 0, -1)
        quality = stream.header.quality
        while True:
            blocks, picture = self._coder.encode(self._image, prediction, fineness, quality)
            coded = Candidate(replace(stream, blocks=blocks), picture)
            failing = block_errors(self._image, picture) > _allowed(self._yardstick.errors(_size(coded)), limit)
            failing &= fineness < FINENESS - 1
            if not failing.any():
                return coded
            fineness = np.where(failing, np.maximum(fineness + 1, first_finer(quality)), fineness)

    def _hardly_better_than_jpeg(self, coded: Candidate) -> bool:
        size = _size(coded)
        errors, usual = block_errors(self._image, coded.picture), self._yardstick.errors(size)
        hardly = float(np.interp(coded.stream.header.quality, _HARDLY_BETTER_AT, _HARDLY_BETTER))
        return bool(errors.mean() > hardly * usual.mean()) and self._yardstick.reaches(size)

    @property
    def _large(self) -> bool:
        """Whether a lossless file takes minutes and gigabytes to make."""
        return self._image.shape[0] * self._image.shape[1] > _LARGE

    @cached_property
    def _drawn(self) -> bool:
        """Whether few colours fill much of the image: lossless coding may then be the smallest."""
        pixels = self._image.reshape(-1, 3)
        sample = pixels[:: max(1, len(pixels) // _SAMPLED_PIXELS)].astype(np.int64) @ [1, 256, 65536]
        counts = np.sort(np.unique(sample, return_counts=True)[1])
        return bool(counts[-_FEW_COLOURS:].sum() >= _DRAWN_SHARE * len(sample))

    @cached_property
    def _lossless_bits(self) -> float:
        """About what a lossless file takes: the entropy of the differences of neighbours."""
        image = self._image[:: max(1, self._image.shape[0] // _SAMPLED_ROWS)].astype(np.int16)
        counts = np.bincount((np.diff(image, axis=1, prepend=image[:, :1]) + 255).ravel())
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log2(shares)).sum()) * self._image.size

    @cached_property
    def _lossless(self) -> bytes | None:
        return lossless_file(self._image)


def _allowed(usual: NDArray[np.float64], quality: float) -> NDArray[np.float64]:
    """Mean squared errors of JPEG's blocks → the largest that our blocks may have."""
    relaxed = 2.0 ** max(0.0, (_RELAXED_FROM - quality) / _RELAXED_BY)
    return _WORSE * relaxed * np.maximum(usual, _VISIBLE)


def _emptied(stream: Bitstream) -> Bitstream:
    """A stream of the same image and quality, without any section yet."""
    header = replace(stream.header, dictionary_id=NO_DICTIONARY, references=0, index_bits=0, scope=Scope.TILE)
    return Bitstream(header, np.empty((header.queries, 0), dtype=np.int64), None, None, 0)


def _size(coded: Candidate) -> int:
    return len(coded.stream.to_bytes())
