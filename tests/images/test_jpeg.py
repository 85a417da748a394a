"""JPEG files to measure against."""

import io

import numpy as np
import pytest
from PIL import Image

from clc.images.jpeg import jpeg_file


@pytest.mark.parametrize("quality", [1, 90, 100])
def test_noise_has_a_jpeg_file_at_any_quality(quality: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for sampling in ("4:4:4", "4:2:0"):
        with Image.open(io.BytesIO(jpeg_file(noise, quality, sampling))) as picture:
            assert picture.size == (256, 256)


def test_a_side_that_the_format_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="65501×1 pixels"):
        jpeg_file(np.zeros((1, 65_501, 3), np.uint8), 50)
