import math

import pytest

from clc.evaluation.rate_difference import rate_difference

ANCHOR = [(0.1, 26.0), (0.2, 29.0), (0.4, 32.0), (0.8, 34.5)]


def scaled(factor):
    return [(factor * bpp, decibels) for bpp, decibels in ANCHOR]


def test_a_curve_equals_itself():
    assert rate_difference(ANCHOR, ANCHOR).mean == pytest.approx(0.0)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_files_of_a_constant_share_of_the_anchors_differ_by_that_share_everywhere(factor):
    difference = rate_difference(ANCHOR, scaled(factor))

    assert (difference.mean, difference.at_low, difference.at_high) == pytest.approx((factor - 1,) * 3)
    assert (difference.low, difference.high) == (26.0, 34.5)


def test_only_the_common_range_counts():
    difference = rate_difference(ANCHOR, [(0.1, 20.0), (0.3, 30.0), (0.5, 31.0)])

    assert (difference.low, difference.high) == (26.0, 31.0)


def test_crossing_curves_show_at_the_ends():
    difference = rate_difference([(0.1, 26.0), (1.0, 36.0)], [(0.05, 26.0), (2.0, 36.0)])

    assert difference.mean == pytest.approx(0.0, abs=1e-9)
    assert (difference.at_low, difference.at_high) == pytest.approx((-0.5, 1.0))


def test_the_order_of_points_does_not_matter_and_lossless_points_are_left_out():
    assert rate_difference(ANCHOR, [(9.0, math.inf), *reversed(scaled(0.5))]).mean == pytest.approx(-0.5)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.1, 30.0)],
        [(0.1, 40.0), (0.2, 50.0)],  # no common range
        [(0.1, 34.2), (0.2, 50.0)],  # next to none
        [(0.1, 30.0), (0.2, 29.0), (0.3, 33.0)],  # more bits, less quality
        [(0.1, math.nan), (0.2, math.nan)],
    ],
)
def test_there_is_no_answer_where_none_would_be_honest(points):
    assert rate_difference(ANCHOR, points) is None
    assert rate_difference(points, ANCHOR) is None
