"""Photos that fill a size in all, by a plan of who refers to whom: tried on a few, corrected as the others come.

All photos get one quality, key photos as many steps more as the plan says: that at which all that are left are
predicted to fill what is left. Predictions start from some photos that were coded alone at some qualities. They are
scaled by how what was coded so far compares with them, photos that stand alone and those that refer to others apart.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.errors import TargetError
from clc.model.gain import QUALITY_MAX, QUALITY_MIN

QUALITIES = (QUALITY_MIN, 20.0, 40.0, 60.0, 80.0, QUALITY_MAX)
"""That the sample is coded at."""
_TRUST = 0.5  # how much the sample weighs beside what is coded, in photos of its own number
_ROOM = 0.995  # aimed at, so that the last photos need not be squeezed
_RESERVED = 1.2  # times what the least quality is predicted to take, for each photo that is still to come
_STEPS = 40  # of a bisection over the quality


@dataclass(frozen=True)
class Expected:
    """What is known of one photo before it is coded.

    weight: what it takes alone, beside the others, in any unit. kept: the share of that which is left if it refers to
    key photos; 1 for one that is coded alone. finer: steps of quality that it gets beyond the others. least: bytes that
    it takes alone at the smallest quality, if that was tried.
    """

    weight: float
    kept: float = 1.0
    finer: float = 0.0
    least: int | None = None

    @property
    def refers(self) -> bool:
        """Whether it is to refer to key photos."""
        return self.kept < 1.0


@dataclass(frozen=True)
class Share:
    """What one photo is to have. predicted: bytes if it were like the sample."""

    photo: Expected
    quality: float
    predicted: float


class SizeBudget:
    """The bytes that are left for the photos that are left.

    size: of all streams. photos: all that are to come, by name, each of which is shared out or skipped once.
    rates: bytes of the sample at each of `QUALITIES`, by its weight. sampled: bytes of it in all, at quality 40.
    spread: how many times the average a photo of the sample took at the least quality, at most.
    Raises TargetError if the smallest quality takes too much, or is predicted to.
    """

    def __init__(
        self,
        size: int,
        photos: Mapping[str, Expected],
        rates: NDArray[np.float64],
        sampled: float,
        spread: float = 1.0,
    ) -> None:
        self._left = float(size)
        self._photos = dict(photos)
        self._rates = np.maximum.accumulate(np.maximum(rates, 1e-9))
        # Weights, by how much finer the photos are, and whether they refer.
        self._coming: defaultdict[tuple[float, bool], float] = defaultdict(float)
        # Of photos in flight too, as if all were coded alone: weights, and bytes of those that were tried.
        self._unspent, self._unspent_least = 0.0, 0
        for photo in photos.values():
            self._coming[photo.finer, photo.refers] += photo.weight * photo.kept
            self._await(photo, 1)
        self._hardest = max(spread, 1.0)
        trusted = max(_TRUST * sampled, 1.0)
        self._predicted, self._actual = {False: trusted, True: trusted}, {False: trusted, True: trusted}
        self._in_flight = {False: 0.0, True: 0.0}
        self._lowest = QUALITY_MIN - max((finer for finer, _ in self._coming), default=0.0)
        tried = all(photo.least is not None for photo in photos.values())
        least = float(self._unspent_least) if tried else self._all(self._lowest)
        if least > size:
            raise TargetError(
                f"{size:,} bytes are too few for these photos: at quality {QUALITY_MIN:g} they take "
                f"{'' if tried else 'about '}{least:,.0f}; give a larger --size"
            )

    def share(self, name: str) -> Share:
        """What the next photo is to have."""
        quality = self._quality()
        photo = self._taken(name)
        quality = min(max(quality + photo.finer, QUALITY_MIN), QUALITY_MAX)
        predicted = self._rate(quality) * photo.weight * photo.kept
        self._in_flight[photo.refers] += predicted
        return Share(photo, quality, predicted)

    def spend(self, share: Share, size: int, unsqueezed: int | None = None) -> None:
        """A photo took `size` bytes; 0 if it was not coded after all. unsqueezed: at the quality that it shared."""
        photo, told = share.photo, size if unsqueezed is None else unsqueezed
        self._in_flight[photo.refers] -= share.predicted
        self._await(photo, -1)
        self._left -= size
        if told:
            self._predicted[photo.refers] += share.predicted
            self._actual[photo.refers] += told
            # Those behind may be as hard as the hardest that was met.
            self._hardest = max(self._hardest, told / max(share.predicted, 1.0) * photo.kept)

    def skip(self, name: str, size: int = 0) -> None:
        """A photo needs no stream, or has one of `size` bytes already."""
        self._await(self._taken(name), -1)
        self._left -= size

    def lose(self, size: int) -> None:
        """So many bytes are taken by what no photo needs."""
        self._left -= size

    def __contains__(self, name: str) -> bool:
        """Whether a photo is still to come."""
        return name in self._photos

    def most(self, share: Share) -> float:
        """Bytes that the photo whose turn it is may take, so that those behind it fit at the smallest quality.

        Where too few are left even for that, it gets its part of them.
        """
        self._await(share.photo, -1)
        behind = self._reserved(self._unspent) + self._unspent_least
        self._await(share.photo, 1)
        own = share.photo.least or self._reserved(share.photo.weight)
        return max(self._left - behind, self._left * own / max(own + behind, 1e-9))

    def _await(self, photo: Expected, sign: int) -> None:
        if photo.least is None:
            self._unspent += sign * photo.weight
        else:
            self._unspent_least += sign * photo.least

    def _reserved(self, weight: float) -> float:
        return _RESERVED * self._hardest * float(self._rates[0]) * max(weight, 0.0)

    def _taken(self, name: str) -> Expected:
        photo = self._photos.pop(name, Expected(0.0))
        self._coming[photo.finer, photo.refers] -= photo.weight * photo.kept
        return photo

    def _quality(self) -> float:
        """Of photos that are no key photos; below the smallest where key photos are too fine for what is left."""
        wanted = _ROOM * self._left - sum(self._scale(refers) * size for refers, size in self._in_flight.items())
        low, high = self._lowest, QUALITY_MAX
        if self._all(high) <= wanted:
            return high
        if self._all(low) >= wanted:
            return low
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._all(middle) <= wanted else (low, middle)
        return low

    def _all(self, quality: float) -> float:
        """Bytes that all photos that are to come are predicted to take."""
        return sum(
            self._scale(refers) * self._rate(quality + finer) * max(weight, 0.0)
            for (finer, refers), weight in self._coming.items()
        )

    def _rate(self, quality: float) -> float:
        return math.exp(float(np.interp(quality, QUALITIES, np.log(self._rates))))

    def _scale(self, refers: bool) -> float:
        return self._actual[refers] / self._predicted[refers]
