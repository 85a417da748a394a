import numpy as np
import pytest

from clc.errors import ImageError
from clc.evaluation.codecs.yuv import from_yuv420, to_yuv420
from clc.images.psnr import psnr


@pytest.mark.parametrize(("height", "width"), [(64, 96), (63, 95)])
def test_a_picture_with_smooth_colour_comes_back(height, width):
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows + columns, 255 - rows - columns, 2 * rows], axis=2).astype(np.uint8)

    assert psnr(image, from_yuv420(to_yuv420(image), height, width)) > 48


def test_grey_has_half_chroma_and_white_is_full_range():
    samples = np.frombuffer(to_yuv420(np.full((2, 2, 3), 255, np.uint8)), "<u2")

    assert samples.tolist() == [1023] * 4 + [512, 512]


def test_a_frame_of_another_size_is_an_image_error():
    with pytest.raises(ImageError, match="10×8"):
        from_yuv420(b"\x00" * 100, 7, 9)
