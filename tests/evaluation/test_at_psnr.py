"""Bytes at a PSNR, of a made-up codec whose files and errors are known at each quality."""

import math

import pytest

from clc.evaluation.measure.at_psnr import at_psnr
from clc.images.psnr import psnr_of_error


def code(quality: int) -> tuple[int, float]:
    """2 ** quality bytes; every value is wrong by 100 − quality."""
    return 2**quality, decibels(quality)


def decibels(quality: int) -> float:
    return psnr_of_error((100 - quality) ** 2)


@pytest.mark.parametrize("quality", [1, 2, 50, 77, 98, 99])
def test_where_a_quality_has_that_psnr_its_bytes_are_taken(quality: int) -> None:
    assert at_psnr(code, decibels(quality)) == pytest.approx(2**quality)


def test_between_two_qualities_the_logarithm_of_bytes_is_interpolated() -> None:
    middle = (decibels(40) + decibels(41)) / 2
    assert at_psnr(code, middle) == pytest.approx(2**40.5)


def test_what_the_best_quality_does_not_reach_is_none() -> None:
    assert at_psnr(code, decibels(99) + 0.01) is None


def test_where_the_worst_quality_is_better_its_bytes_are_taken() -> None:
    assert at_psnr(code, 1.0) == 2


def test_a_quality_without_any_error_counts_as_it_is() -> None:
    assert at_psnr(lambda quality: (quality, math.inf), 40.0) == 1
    assert at_psnr(lambda quality: (quality, math.inf if quality == 99 else 29.0), 40.0) == 99


def test_smaller_numbers_may_be_better() -> None:
    assert at_psnr(lambda quantiser: code(100 - quantiser), decibels(77), worst=99, best=1) == pytest.approx(2**77)
