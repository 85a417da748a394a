import math

import pytest

from clc.evaluation.compare.rate_difference import quality_difference, rate_difference, why_incomparable

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
    ("points", "reason"),
    [
        ([], "fewer than two points"),
        ([(0.1, 30.0)], "fewer than two points"),
        ([(0.1, 40.0), (0.2, 50.0)], "40.0 to 50.0 dB"),  # no common range
        ([(0.1, 34.2), (0.2, 50.0)], "less than 0.5 dB in common"),  # next to none
        ([(0.1, 30.0), (0.2, 29.0), (0.3, 33.0)], "does not rise"),  # more bits, less quality
        ([(0.1, math.nan), (0.2, math.nan)], "fewer than two points"),
    ],
)
def test_there_is_a_reason_in_place_of_an_answer_where_none_would_be_honest(points, reason):
    assert rate_difference(ANCHOR, points) is None
    assert rate_difference(points, ANCHOR) is None
    assert reason in why_incomparable(ANCHOR, points)


def test_curves_that_can_be_compared_have_no_reason_against_it():
    assert why_incomparable(ANCHOR, scaled(0.5)) is None


def test_a_curve_so_many_decibels_higher_differs_by_them_at_every_rate():
    difference = quality_difference(ANCHOR, [(bpp, decibels + 1.5) for bpp, decibels in ANCHOR])

    assert difference.mean == pytest.approx(1.5)
    assert (difference.low, difference.high) == pytest.approx((0.1, 0.8))


def test_quality_is_compared_over_the_logarithm_of_the_common_rates():
    difference = quality_difference([(0.1, 30.0), (0.4, 34.0)], [(0.1, 30.0), (0.2, 33.0), (0.8, 36.0)])

    # straight lines over log rate but for the test's bend; between 0.1 and 0.4 bpp it is never below the anchor
    assert 0.0 < difference.mean < 1.0
    assert (difference.low, difference.high) == pytest.approx((0.1, 0.4))


def test_quality_is_not_compared_without_rates_in_common():
    assert quality_difference(ANCHOR, scaled(7.0)) is None  # 0.7 to 0.8 bpp
    assert quality_difference(ANCHOR, [(0.1, 30.0), (0.2, 29.0)]) is None
