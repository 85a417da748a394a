"""How two codecs differ: in rate at equal quality, and in quality at equal rate (Bjøntegaard differences).

Bjøntegaard, "Calculation of average PSNR differences between RD-curves" (VCEG-M33, 2001), with piecewise cubic
Hermite interpolation (PCHIP) in place of the one cubic, as JCT-VC adopted it: it never overshoots between points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

MIN_COMMON_RANGE = 0.5
"""Decibels that two curves must share to be compared in rate: a mean over less says nothing about the codecs."""

MIN_COMMON_RATES = 1.2
"""Ratio of the largest to the smallest rate that two curves must share to be compared in quality."""


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


@dataclass(frozen=True)
class QualityDifference:
    """Quality against an anchor's at equal rate. mean: dB, over the rates `low` to `high` (bpp) that both reach."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class _Curve:
    """Points in ascending order of both."""

    log_rates: NDArray[np.float64]
    qualities: NDArray[np.float64]


def rate_difference(
    anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]
) -> RateDifference | None:
    """Compare two curves of (bpp, dB) points.

    None if no answer would be honest, for the reason that `why_incomparable` gives. Points of infinite or unknown
    quality are left out.
    """
    if why_incomparable(anchor, test):
        return None
    curves = [_curve(points) for points in (anchor, test)]
    low, high = _common([curve.qualities for curve in curves])
    anchor_rate, test_rate = (PchipInterpolator(curve.qualities, curve.log_rates) for curve in curves)

    def difference(log_ratio: float) -> float:
        return float(np.expm1(log_ratio))

    return RateDifference(
        mean=difference((test_rate.integrate(low, high) - anchor_rate.integrate(low, high)) / (high - low)),
        at_low=difference(test_rate(low) - anchor_rate(low)),
        at_high=difference(test_rate(high) - anchor_rate(high)),
        low=low,
        high=high,
    )


def quality_difference(
    anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]
) -> QualityDifference | None:
    """Compare two curves of (bpp, dB) points at equal rate.

    None where `rate_difference` would find no curve, or if the curves share less than `MIN_COMMON_RATES`.
    """
    curves = [_curve(points) for points in (anchor, test)]
    if any(_fault(curve) for curve in curves):
        return None
    low, high = _common([curve.log_rates for curve in curves])
    if high - low < np.log(MIN_COMMON_RATES):
        return None
    anchor_quality, test_quality = (PchipInterpolator(curve.log_rates, curve.qualities) for curve in curves)
    mean = float((test_quality.integrate(low, high) - anchor_quality.integrate(low, high)) / (high - low))
    return QualityDifference(mean, low=float(np.exp(low)), high=float(np.exp(high)))


def why_incomparable(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> str | None:
    """Why two curves have no rate difference, for people; None if they have one."""
    curves = [_curve(points) for points in (anchor, test)]
    if fault := _fault(*curves):
        return fault
    low, high = _common([curve.qualities for curve in curves])
    if high - low >= MIN_COMMON_RANGE:
        return None
    ranges = " and ".join(f"{curve.qualities[0]:.1f} to {curve.qualities[-1]:.1f} dB" for curve in curves)
    return f"the curves reach {ranges}, which is less than {MIN_COMMON_RANGE:g} dB in common"


def why_no_quality_difference(anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]) -> str | None:
    """Why two curves have no quality difference, for people; None if they have one."""
    curves = [_curve(points) for points in (anchor, test)]
    if fault := _fault(*curves):
        return fault
    low, high = _common([curve.log_rates for curve in curves])
    if high - low >= np.log(MIN_COMMON_RATES):
        return None
    return f"the rates that both reach differ by less than a factor of {MIN_COMMON_RATES:g}"


def _curve(points: Sequence[tuple[float, float]]) -> _Curve:
    rates, qualities = np.array(sorted(point for point in points if np.isfinite(point[1]))).reshape(-1, 2).T
    return _Curve(np.log(rates), qualities)


def _fault(*curves: _Curve) -> str | None:
    for curve in curves:
        if len(curve.qualities) < 2:
            return "a curve has fewer than two points of finite quality"
        if np.any(np.diff(curve.qualities) <= 0.0) or np.any(np.diff(curve.log_rates) <= 0.0):
            return "quality does not rise with the rate on one of the curves"
    return None


def _common(axes: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The lowest and highest value that all ascending axes reach."""
    return float(max(axis[0] for axis in axes)), float(min(axis[-1] for axis in axes))
