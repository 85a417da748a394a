"""Photos of one quality that fill a size in all: tried on a few of them, corrected as the others come.

Every photo gets the quality at which all that are left are predicted to fill what is left. Predictions start from some
photos that were coded at some qualities, and are scaled by how what was coded so far compares with them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.errors import TargetError
from clc.model.gain import QUALITY_MAX, QUALITY_MIN

SAMPLE = 6
"""Photos that are coded beforehand."""
_QUALITIES = (QUALITY_MIN, 20.0, 40.0, 60.0, 80.0, QUALITY_MAX)
_TRUST = 0.5  # how much the sample weighs beside what is coded, in photos of its own number
_ROOM = 0.995  # aimed at, so that the last photos need not be squeezed


@dataclass(frozen=True)
class Share:
    """Of one photo. predicted: bytes that it would take if it were like the sample."""

    quality: float
    predicted: float


class SizeBudget:
    """The bytes that are left for the photos that are left.

    size: of all streams. pixels: of all photos, each weighed by its share in the plan. code: bytes of one photo at a
    quality. sample: photos, uint8 [H, W, 3].
    Raises TargetError if the smallest quality is predicted to take more than a tenth too much.
    """

    def __init__(
        self,
        size: int,
        pixels: float,
        sample: Sequence[NDArray[np.uint8]],
        code: Callable[[NDArray[np.uint8], float], int],
    ) -> None:
        self._left = float(size)
        self._pixels = float(max(pixels, 1))
        sampled = sum(each.shape[0] * each.shape[1] for each in sample)
        rates = [sum(code(each, quality) for each in sample) / sampled for quality in _QUALITIES]
        self._rates = np.maximum.accumulate(np.array(rates))
        self._predicted = self._actual = _TRUST * sampled * self._rates[2]
        self._in_flight = 0.0
        least = self._rates[0] * self._pixels
        if least > 1.1 * size:
            raise TargetError(
                f"{size:,} bytes are too few for these photos: at quality {QUALITY_MIN:g} they take about "
                f"{least:,.0f}; give a larger --size"
            )

    def share(self, pixels: float) -> Share:
        """What the next photo, of so many pixels, is coded at."""
        wanted = _ROOM * (self._left - self._in_flight * self._scale) / (self._scale * max(self._pixels, pixels))
        quality = self._quality_of(wanted)
        predicted = float(np.exp(np.interp(quality, _QUALITIES, np.log(self._rates)))) * pixels
        self._in_flight += predicted
        self._pixels -= pixels
        return Share(quality, predicted)

    def spend(self, share: Share, size: int) -> None:
        """A photo took `size` bytes; 0 if it was not coded after all."""
        self._in_flight -= share.predicted
        self._left -= size
        if size:
            self._predicted += share.predicted
            self._actual += size

    def skip(self, pixels: float, size: int = 0) -> None:
        """A photo needs no stream, or has one of `size` bytes already."""
        self._pixels -= pixels
        self._left -= size

    def most(self) -> float:
        """Bytes that the photo whose turn it is may take, so that those behind it fit at the smallest quality."""
        return self._left - self._rates[0] * self._scale * max(self._pixels, 0.0)

    @property
    def _scale(self) -> float:
        return self._actual / self._predicted

    def _quality_of(self, rate: float) -> float:
        if rate <= self._rates[0]:
            return QUALITY_MIN
        return float(np.interp(math.log(rate), np.log(self._rates), _QUALITIES))
