"""How much larger or smaller one codec's files are at equal quality: the Bjøntegaard rate difference.

Bjøntegaard, "Calculation of average PSNR differences between RD-curves" (VCEG-M33, 2001), with piecewise cubic
Hermite interpolation (PCHIP) in place of the one cubic, as JCT-VC adopted it: it never overshoots between points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

MIN_COMMON_RANGE = 0.5
"""Decibels that two curves must share to be compared: a mean over less says nothing about the codecs."""


@dataclass(frozen=True)
class RateDifference:
    """File sizes against an anchor's at equal quality; -0.2 means a fifth fewer bits.

    mean: over the qualities `low` to `high` (dB) that both curves reach; at_low, at_high: at either end of that range,
    for one mean can hide curves that cross.
    """

    mean: float
    at_low: float
    at_high: float
    low: float
    high: float


def rate_difference(
    anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]
) -> RateDifference | None:
    """Compare two curves of (bpp, dB) points.

    None if no answer would be honest: fewer than two points, quality that does not rise with the rate, or less than
    `MIN_COMMON_RANGE` of quality in common. Points of infinite or unknown quality are left out.
    """
    curves = [_curve(points) for points in (anchor, test)]
    if any(curve is None for curve in curves):
        return None
    anchor_rate, test_rate = (curve for curve in curves if curve is not None)
    low = max(anchor_rate.x[0], test_rate.x[0])
    high = min(anchor_rate.x[-1], test_rate.x[-1])
    if high - low < MIN_COMMON_RANGE:
        return None

    def difference(log_ratio: float) -> float:
        return float(np.expm1(log_ratio))

    return RateDifference(
        mean=difference((test_rate.integrate(low, high) - anchor_rate.integrate(low, high)) / (high - low)),
        at_low=difference(test_rate(low) - anchor_rate(low)),
        at_high=difference(test_rate(high) - anchor_rate(high)),
        low=float(low),
        high=float(high),
    )


def _curve(points: Sequence[tuple[float, float]]) -> PchipInterpolator | None:
    """The logarithm of the rate as a function of quality."""
    rates, qualities = np.array(sorted(point for point in points if np.isfinite(point[1]))).reshape(-1, 2).T
    if len(rates) < 2 or np.any(np.diff(qualities) <= 0.0):
        return None
    return PchipInterpolator(qualities, np.log(rates))
