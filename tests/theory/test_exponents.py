"""Exponents of powers that are known, and intervals that hold them as often as they say."""

import numpy as np
import pytest

from clc.theory.exponents import exponent, paired_exponent, slope

X = [1.0, 2.0, 4.0, 8.0]


def test_the_exponent_of_a_power_is_found_without_doubt():
    found = exponent(X, [np.full(5, 3.0 * x**-0.5) for x in X])

    assert (found.value, found.low, found.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert slope(X, [x**2 for x in X]) == pytest.approx(2.0)


def test_samples_that_differ_leave_doubt_and_more_of_them_less():
    rng = np.random.default_rng(0)
    few, many = (exponent(X, [x**0.5 * np.exp(0.3 * rng.standard_normal(number)) for x in X]) for number in (20, 2000))

    assert many.high - many.low < 0.3 * (few.high - few.low)
    assert many.low < 0.5 < many.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [exponent(X, [x * np.exp(0.2 * rng.standard_normal(40)) for x in X]) for _ in range(100)]

    assert 88 <= sum(each.low <= 1.0 <= each.high for each in found) <= 100


def test_what_all_queries_share_is_no_doubt_when_the_same_queries_are_drawn_at_every_size():
    scales = np.exp(np.random.default_rng(0).standard_normal(30))
    samples = scales[:, None] * np.array(X) ** -0.25

    paired = paired_exponent(X, samples)
    assert (paired.low, paired.high) == pytest.approx((-0.25, -0.25))
    assert exponent(X, list(samples.T)).low < -0.3


def test_nothing_lost_has_no_exponent():
    samples = np.ones((4, 4))
    samples[:3, 0] = 0.0

    assert paired_exponent(X, samples) is None
