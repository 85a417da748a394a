"""The rate differences of many pairs of curves at once: what `rate_difference` gives one by one, for bootstraps.

PCHIP as Fritsch and Butland's, "A method for constructing local monotone piecewise cubic interpolants" (1984), and as
SciPy's `PchipInterpolator`, whose objects take a millisecond each to make.
"""

import numpy as np
from numpy.typing import NDArray

from clc.evaluation.compare.rate_difference import MIN_COMMON_RANGE

Curves = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Rates (bpp) and qualities (dB), each [pairs, points]."""

_GAUSS = (0.5 - 0.5 / np.sqrt(3.0), 0.5 + 0.5 / np.sqrt(3.0))  # two nodes are exact for cubics


def mean_rate_differences(anchor: Curves, test: Curves) -> NDArray[np.float64] | None:
    """`RateDifference.mean` of each pair; None if any pair has none."""
    if min(anchor[0].shape[1], test[0].shape[1]) < 2:
        return None
    sorted_curves = [_sorted(*curves) for curves in (anchor, test)]
    for log_rates, qualities in sorted_curves:
        if not (np.all(np.diff(qualities) > 0.0) and np.all(np.diff(log_rates) > 0.0)):
            return None
    low = np.maximum(*(qualities[:, 0] for _, qualities in sorted_curves))
    high = np.minimum(*(qualities[:, -1] for _, qualities in sorted_curves))
    if np.any(high - low < MIN_COMMON_RANGE):
        return None
    anchor_mean, test_mean = (
        _integral(qualities, rates, low, high) / (high - low) for rates, qualities in sorted_curves
    )
    return np.expm1(test_mean - anchor_mean)


def _sorted(rates: NDArray[np.float64], qualities: NDArray[np.float64]) -> Curves:
    order = np.argsort(rates, axis=1)
    return np.log(np.take_along_axis(rates, order, axis=1)), np.take_along_axis(qualities, order, axis=1)


def _integral(
    x: NDArray[np.float64], y: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integral of the interpolant through x, y [pairs, points], from low to high [pairs]."""
    width, slopes = np.diff(x), _slopes(x, y)
    start, end = (np.clip(x, low[:, None], high[:, None])[:, part] for part in (slice(None, -1), slice(1, None)))
    total = np.zeros_like(width)
    for node in _GAUSS:
        t = (start + node * (end - start) - x[:, :-1]) / width
        total += (
            (1.0 + 2.0 * t) * (1.0 - t) ** 2 * y[:, :-1]
            + t * (1.0 - t) ** 2 * width * slopes[:, :-1]
            + t**2 * (3.0 - 2.0 * t) * y[:, 1:]
            + t**2 * (t - 1.0) * width * slopes[:, 1:]
        )
    return np.sum(0.5 * (end - start) * total, axis=1)


def _slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes of the interpolant at its points; y rises strictly."""
    width = np.diff(x)
    secants = np.diff(y) / width
    if secants.shape[1] == 1:
        return np.repeat(secants, 2, axis=1)
    before, after = 2.0 * width[:, 1:] + width[:, :-1], width[:, 1:] + 2.0 * width[:, :-1]
    inner = (before + after) / (before / secants[:, :-1] + after / secants[:, 1:])
    first = _end_slope(width[:, 0], width[:, 1], secants[:, 0], secants[:, 1])
    last = _end_slope(width[:, -1], width[:, -2], secants[:, -1], secants[:, -2])
    return np.column_stack([first, inner, last])


def _end_slope(
    width: NDArray[np.float64], next_width: NDArray[np.float64], secant: NDArray[np.float64], next: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slope at an end, from three points, limited so that the interpolant stays monotone."""
    return np.maximum(((2.0 * width + next_width) * secant - width * next) / (width + next_width), 0.0)
