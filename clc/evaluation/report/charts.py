"""Rate-distortion charts: from points in data units to coordinates that the report's template draws as SVG.

Drawn by the page itself, so that lines take its colours in light and dark and the text stays text. `page.js` zooms by
placing the same points anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 480, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 46
_TICKS = 6
_MARGIN = 0.05  # share of the data's range that stays free around it


@dataclass(frozen=True)
class Point:
    """One measured point; `label` is what hovering shows."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Curve:
    """One codec's points, left to right; `style` chooses colour and marker.

    measured: False for published points, which are dashed and do not stretch the axes.
    """

    name: str
    style: str
    points: tuple[Point, ...]
    measured: bool = True

    @property
    def path(self) -> str:
        """The `points` attribute of an SVG polyline."""
        return " ".join(f"{point.x:.2f},{point.y:.2f}" for point in self.points)


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    position: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Everything in the coordinates of a viewBox of `WIDTH` × `HEIGHT`; rates, qualities: what the axes span."""

    title: str
    rates: tuple[float, float]
    qualities: tuple[float, float]
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def rd_chart(title: str, y_title: str, curves: Sequence[Curve]) -> Chart | None:
    """Place curves of (bpp, dB) points; the rate axis starts at 0. Points that are not finite are left out.

    None if no measured point is left.
    """
    finite = [
        replace(curve, points=tuple(point for point in curve.points if math.isfinite(point.y))) for curve in curves
    ]
    points = [point for curve in finite if curve.measured for point in curve.points]
    if not points:
        return None
    right = (1.0 + _MARGIN) * max(point.x for point in points)
    low, high = _widened([point.y for point in points])

    def x_of(value: float) -> float:
        return _LEFT + value / right * (WIDTH - _LEFT - _RIGHT)

    def y_of(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    return Chart(
        title=title,
        rates=(0.0, right),
        qualities=(low, high),
        x_title="bits per pixel",
        y_title=y_title,
        x_ticks=tuple(Tick(x_of(value), f"{value:g}") for value in nice_ticks(0.0, right)),
        y_ticks=tuple(Tick(y_of(value), f"{value:g}") for value in nice_ticks(low, high)),
        curves=tuple(
            replace(curve, points=tuple(Point(x_of(point.x), y_of(point.y), point.label) for point in curve.points))
            for curve in finite
            if curve.points
        ),
    )


def power_chart(title: str, x_title: str, y_title: str, curves: Sequence[Curve]) -> Chart:
    """Place curves of positive points on logarithmic axes, where powers are straight lines; its range is in decades.

    Raises ValueError if there is no measured point.
    """
    logs = [
        replace(
            curve, points=tuple(Point(math.log10(point.x), math.log10(point.y), point.label) for point in curve.points)
        )
        for curve in curves
    ]
    points = [point for curve in logs if curve.measured for point in curve.points]
    across, upward = _widened([point.x for point in points]), _widened([point.y for point in points])

    def x_of(value: float) -> float:
        return _LEFT + (value - across[0]) / (across[1] - across[0]) * (WIDTH - _LEFT - _RIGHT)

    def y_of(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - upward[0]) / (upward[1] - upward[0]) * (HEIGHT - _TOP - _BOTTOM)

    return Chart(
        title=title,
        rates=across,
        qualities=upward,
        x_title=x_title,
        y_title=y_title,
        x_ticks=tuple(Tick(x_of(math.log10(value)), f"{value:g}") for value in power_ticks(*across)),
        y_ticks=tuple(Tick(y_of(math.log10(value)), f"{value:g}") for value in power_ticks(*upward)),
        curves=tuple(
            replace(curve, points=tuple(Point(x_of(point.x), y_of(point.y), point.label) for point in curve.points))
            for curve in logs
        ),
    )


def power_ticks(low: float, high: float) -> list[float]:
    """Round numbers between 10^low and 10^high: powers of ten, not all where that leaves many; 2 and 5 times such too
    where it leaves few; below a whole decade those of `nice_ticks`.

    >>> power_ticks(-1.0, 0.0)
    [0.1, 0.2, 0.5, 1.0]
    """
    if high - low < 1.0:
        return [tick for tick in nice_ticks(10.0**low, 10.0**high) if tick > 0.0]
    first, last = math.floor(low), math.ceil(high)
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    step = max(1, round((high - low) / _TICKS))
    ticks = [factor * 10.0**power for power in range(first, last + 1, step) for factor in factors]
    return [float(f"{tick:.1g}") for tick in ticks if low <= math.log10(tick) <= high]


def nice_ticks(low: float, high: float) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten in low ≤ x ≤ high, about `_TICKS` of them; low < high."""
    power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    steps = (factor * power for factor in (1, 2, 5))
    step = next((step for step in steps if step * _TICKS >= high - low), 10 * power)
    decimals = max(0, -math.floor(math.log10(step)))
    return [round(index * step, decimals) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _widened(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values and a margin; never empty, even for one value."""
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 0.5
    return low - margin, high + margin
