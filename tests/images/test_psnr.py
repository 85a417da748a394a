import math

import numpy as np
import pytest

from clc.images.psnr import psnr, psnr_of_error, squared_error

GREY = np.full((176, 192, 3), 100, dtype=np.uint8)


def test_psnr_follows_from_the_mean_squared_error_over_all_channels():
    image = GREY.copy()
    image[..., 0] = 106  # squared error 36 in one of three channels: MSE 12

    assert psnr(GREY, image) == pytest.approx(10 * math.log10(255**2 / 12))


def test_psnr_and_squared_error_stand_for_each_other():
    assert squared_error(psnr_of_error(12.0)) == pytest.approx(12.0)
    assert squared_error(math.inf) == 0.0


def test_psnr_does_not_wrap_around_in_8_bits():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)

    assert psnr(black, white) == 0.0
    assert psnr(white, black) == 0.0


def test_identical_images_have_infinite_psnr():
    assert psnr(GREY, GREY) == math.inf


def test_images_of_different_shape_or_depth_are_not_compared():
    with pytest.raises(ValueError, match=r"\(176, 192, 3\)"):
        psnr(GREY, GREY[:-1])
    with pytest.raises(ValueError, match="float64"):
        psnr(GREY, GREY.astype(np.float64))
