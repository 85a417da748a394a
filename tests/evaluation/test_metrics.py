import math

import numpy as np
import pytest

from clc.evaluation.measure.metrics import bits_per_pixel, ms_ssim, ms_ssim_db

GREY = np.full((176, 192, 3), 100, dtype=np.uint8)


def test_identical_images_have_an_ms_ssim_of_one():
    assert ms_ssim(GREY, GREY) == pytest.approx(1.0)


def test_ms_ssim_of_flat_images_is_their_luminance_term_at_the_coarsest_scale():
    other = np.full_like(GREY, 150)  # flat: contrast and structure are 1 at every scale
    constant = (0.01 * 255) ** 2
    luminance = (2 * 100 * 150 + constant) / (100**2 + 150**2 + constant)

    assert ms_ssim(GREY, other) == pytest.approx(luminance**0.1333, abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(160, 400), (400, 160), (1, 1)])
def test_an_image_too_small_for_five_scales_has_no_ms_ssim(height, width):
    image = np.zeros((height, width, 3), np.uint8)

    assert math.isnan(ms_ssim(image, image))


def test_161_pixels_are_enough_for_ms_ssim():
    image = np.zeros((161, 161, 3), np.uint8)

    assert ms_ssim(image, image) == pytest.approx(1.0)


def test_ms_ssim_in_decibels():
    assert ms_ssim_db(0.99) == pytest.approx(20.0)
    assert ms_ssim_db(1.0) == math.inf
    assert math.isnan(ms_ssim_db(math.nan))


def test_images_of_different_depth_are_not_compared():
    with pytest.raises(ValueError, match="float64"):
        ms_ssim(GREY, GREY.astype(np.float64))


def test_bits_per_pixel():
    assert bits_per_pixel(1000, height=50, width=40) == 4.0
