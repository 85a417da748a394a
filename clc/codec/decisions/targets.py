"""Rate and quality targets: a file of so many bits per pixel, or a picture of so many dB, by search over the quality.

The quality is continuous, and rate and PSNR rise with it smoothly and almost always monotonically, so a bracketing
search needs few attempts. What does not depend on the quality is computed once per image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from clc.codec.decisions.effort import check_effort
from clc.codec.encoder import Encoder
from clc.codec.stored_quality import stored_quality
from clc.errors import ProfileError, TargetError
from clc.images.psnr import psnr
from clc.model.gain import QUALITY_MAX, QUALITY_MIN
from clc.model.limits import QUALITY_STEPS

DEFAULT_QUALITY = 50.0
TOLERANCE = 0.02
"""A target is met by a value that differs from it by at most this share of it."""
MAX_ATTEMPTS = 10
"""Qualities that a search tries at most."""

_CLOSE_ENOUGH = 0.002  # nothing to gain from another attempt
_EDGE = 0.05  # an attempt stays this share of a bracket away from its ends, so that both ends move


class Metric(StrEnum):
    """What a target is given in."""

    QUALITY = "quality"
    BPP = "bpp"  # of the whole file, header included
    PSNR = "psnr"  # in dB, over RGB, of what the decoder shows


@dataclass(frozen=True)
class Target:
    """What a coded image shall be like. Raises ProfileError for a value that no image can have.

    >>> Target.choose(bpp=0.5)
    Target(metric=<Metric.BPP: 'bpp'>, value=0.5)
    >>> Target.choose()
    Target(metric=<Metric.QUALITY: 'quality'>, value=50.0)
    """

    metric: Metric
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.value, Real):
            raise ProfileError(f"{self.metric} must be a number, not {self.value!r}")
        if self.metric is Metric.QUALITY:
            stored_quality(self.value)
        elif not 0.0 < self.value < math.inf:
            raise ProfileError(f"{self.metric} must be a number above 0, not {self.value:g}")

    @classmethod
    def choose(cls, quality: float | None = None, bpp: float | None = None, psnr: float | None = None) -> "Target":
        """The one that is given, else quality 50. Raises ProfileError if there are several."""
        offered = {Metric.QUALITY: quality, Metric.BPP: bpp, Metric.PSNR: psnr}
        given = {metric: value for metric, value in offered.items() if value is not None}
        if len(given) > 1:
            raise ProfileError(f"{' and '.join(given)} contradict each other; give one of {', '.join(offered)}")
        for metric, value in given.items():
            return cls(metric, value)
        return cls(Metric.QUALITY, DEFAULT_QUALITY)


@dataclass(frozen=True)
class Compressed:
    """A `.clc` stream with what was measured of it; psnr is measured where it was the target.

    lossless: the picture comes back as it was.
    """

    data: bytes
    quality: float
    bpp: float
    psnr: float | None = None
    lossless: bool = False

    def measured(self, metric: Metric) -> float:
        """The value in a target's metric."""
        value = {Metric.QUALITY: self.quality, Metric.BPP: self.bpp, Metric.PSNR: self.psnr}[metric]
        assert value is not None, metric
        return value


def compress_to(
    encoder: Encoder,
    image: NDArray[np.uint8],
    target: Target,
    *,
    references: bool = True,
    metadata: bytes | None = None,
    effort: int = 0,
) -> Compressed:
    """Code uint8 [H, W, 3] so that the result meets the target, as nearly as at most `MAX_ATTEMPTS` qualities allow.

    metadata: a section that goes into the stream as it is; its bytes count.
    effort: as for `Encoder.code`, at every quality that is tried.

    Raises TargetError, with what can be had, if no quality tried comes within `TOLERANCE`, and what
    `Encoder.compress` raises.
    """
    effort = check_effort(effort)
    analysis = encoder.analyse(image, references=references)

    def attempt(quality: float) -> Compressed:
        coded = encoder.code(analysis, quality, effort=effort)
        data = replace(coded.stream, metadata=metadata).to_bytes()
        return Compressed(
            data=data,
            quality=stored_quality(quality),
            bpp=8.0 * len(data) / (image.shape[0] * image.shape[1]),
            psnr=psnr(image, coded.picture) if target.metric is Metric.PSNR else None,
            lossless=coded.stream.picture is not None,
        )

    if target.metric is Metric.QUALITY:
        return attempt(target.value)
    return search_quality(attempt, target)


def search_quality(attempt: Callable[[float], Compressed], target: Target) -> Compressed:
    """Search the quality at which `attempt` meets a target in bpp or PSNR; what it made there, or a lossless stream.

    Raises TargetError, with what can be had, if none of at most `MAX_ATTEMPTS` qualities does.
    """
    tried = [attempt(DEFAULT_QUALITY)]
    while len(tried) < MAX_ATTEMPTS and _miss(tried[-1], target) > _CLOSE_ENOUGH:
        quality = _next_quality(tried, target)
        if quality is None:
            break
        tried.append(attempt(quality))
    nearest = min(tried, key=lambda one: _miss(one, target))
    if _miss(nearest, target) > TOLERANCE:
        for one in tried:
            if one.lossless and (target.metric is Metric.PSNR or one.bpp <= target.value):
                return one  # no file of this image can be better
        values = [one.measured(target.metric) for one in tried]
        raise TargetError(
            f"no quality from {QUALITY_MIN:g} to {QUALITY_MAX:g} gives this image {target.metric} {target.value:g}: "
            f"{min(values):.4g} to {max(values):.4g} can be reached, and quality {nearest.quality:g} comes nearest "
            f"with {nearest.measured(target.metric):.4g}; ask for what can be reached"
        )
    return nearest


def _miss(one: Compressed, target: Target) -> float:
    """Distance from the target as a share of it."""
    return abs(one.measured(target.metric) / target.value - 1.0)


def _next_quality(tried: list[Compressed], target: Target) -> float | None:
    """The quality to try next: between neighbours that enclose the target, else an end; None if both were tried."""
    ascending = sorted(tried, key=lambda one: one.quality)
    for lower, upper in pairwise(ascending):
        if (lower.measured(target.metric) < target.value) != (upper.measured(target.metric) < target.value):
            return _between(lower, upper, target)
    ends = [QUALITY_MIN, QUALITY_MAX]
    if tried[0].measured(target.metric) < target.value:
        ends.reverse()
    return next((end for end in ends if end not in (ascending[0].quality, ascending[-1].quality)), None)


def _between(lower: Compressed, upper: Compressed, target: Target) -> float | None:
    """The quality to try between two attempts, interpolated in whole steps of the header; None if none lies between."""
    first, last = (round(one.quality * QUALITY_STEPS) for one in (lower, upper))
    if last - first < 2:
        return None
    start, end = _scale(lower.measured(target.metric), target), _scale(upper.measured(target.metric), target)
    share = (_scale(target.value, target) - start) / (end - start) if math.isfinite(end - start) else 0.5
    share = min(max(share, _EDGE), 1.0 - _EDGE)
    return min(max(round(first + share * (last - first)), first + 1), last - 1) / QUALITY_STEPS


def _scale(value: float, target: Target) -> float:
    """The metric where it is nearly linear in the quality: the logarithm of the rate, or dB as they are."""
    return math.log(value) if target.metric is Metric.BPP else value
