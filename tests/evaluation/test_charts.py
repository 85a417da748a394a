import math

import numpy as np
import pytest

from clc.evaluation.report.charts import Curve, Point, nice_ticks, power_chart, power_ticks, rd_chart


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.05, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (22.7, 40.2, [25, 30, 35, 40]),
        (33.18, 33.47, [33.2, 33.25, 33.3, 33.35, 33.4, 33.45]),
        (0.0, 1e-3, [0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_more_bits_lie_to_the_right_and_more_quality_lies_above():
    (curve,) = rd_chart("t", "y", [Curve("c", "s", (Point(0.5, 30, ""), Point(1.0, 35, "")))]).curves

    first, second = curve.points
    assert first.x < second.x
    assert first.y > second.y


def test_points_without_a_finite_quality_are_not_drawn():
    chart = rd_chart("t", "y", [Curve("c", "s", (Point(1.0, 35, ""), Point(9.0, math.inf, "")))])

    assert len(chart.curves[0].points) == 1
    assert rd_chart("t", "y", [Curve("c", "s", (Point(1.0, math.nan, ""),))]) is None


def test_published_points_do_not_stretch_the_axes():
    measured = Curve("c", "s", (Point(0.5, 30, ""), Point(1.0, 35, "")))
    dashed = Curve("p", "s", (Point(4.0, 48, ""),), measured=False)

    alone, both = rd_chart("t", "y", [measured]), rd_chart("t", "y", [measured, dashed])

    assert (both.rates, both.qualities) == (alone.rates, alone.qualities)
    assert both.curves[1].points[0].x > both.right
    assert rd_chart("t", "y", [dashed]) is None


def test_on_logarithmic_axes_a_power_is_a_straight_line_and_every_decade_is_as_wide():
    curve = Curve("power", "clc", tuple(Point(x, 3.0 * x**-0.5, "") for x in (1.0, 10.0, 100.0, 1000.0)))
    chart = power_chart("title", "x", "y", [curve])

    [placed] = chart.curves
    assert np.allclose(np.diff([point.x for point in placed.points], n=2), 0.0)
    assert np.allclose(np.diff([point.y for point in placed.points], n=2), 0.0)
    assert [tick.label for tick in chart.x_ticks] == ["1", "10", "100", "1000"]
    assert chart.left < placed.points[0].x < placed.points[-1].x < chart.right


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 0.0, [0.1, 0.2, 0.5, 1.0]),
        (0.0, 3.0, [1.0, 10.0, 100.0, 1000.0]),
        (-6.0, 6.0, [1e-6, 1e-4, 1e-2, 1e0, 1e2, 1e4, 1e6]),
        (0.05, 0.25, [1.2, 1.4, 1.6]),
    ],
)
def test_logarithmic_ticks_are_few_and_round(low, high, expected):
    assert power_ticks(low, high) == expected
