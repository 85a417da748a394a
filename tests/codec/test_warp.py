"""A photo seen from elsewhere: the right pixels, and the same ones everywhere."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import ProjectiveTransform
from skimage.transform import warp as resample

from clc.codec.references.warp import CORNER_STEPS, warp
from clc.errors import BitstreamError
from tests.conftest import picture

PHOTO = picture(3, 200, 280)
HEIGHT, WIDTH = 150, 220
TURNED = np.array([[30, 5], [21, 12], [33, -2], [9, 6]]) * CORNER_STEPS


def seen(corners: NDArray[np.int64], shape: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.uint8]:
    return warp(PHOTO, corners.astype(np.int32), HEIGHT, WIDTH, shape)


def test_without_displacement_it_is_the_photo_with_its_border_repeated() -> None:
    still = seen(np.zeros((4, 2), dtype=np.int64), (230, 300))
    assert np.array_equal(still, np.pad(PHOTO, ((0, 30), (0, 20), (0, 0)), mode="edge"))


def test_displaced_by_whole_pixels_it_is_shifted() -> None:
    shifted = seen(np.tile([7 * CORNER_STEPS, -3 * CORNER_STEPS], (4, 1)))
    assert np.array_equal(shifted[3:], PHOTO[: HEIGHT - 3, 7 : WIDTH + 7])
    assert np.array_equal(shifted[:3], np.repeat(PHOTO[:1, 7 : WIDTH + 7], 3, axis=0))


def test_corners_lie_where_they_are_said_to() -> None:
    corners = np.array([(0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)], dtype=float)
    transform = ProjectiveTransform()
    transform.estimate(corners - 0.5, corners + TURNED / CORNER_STEPS - 0.5)  # of pixel centres
    expected = resample(PHOTO, transform, output_shape=(HEIGHT, WIDTH), order=3, mode="edge", preserve_range=True)
    difference = np.abs(seen(TURNED) - expected)[8:-8, 8:-8]
    assert difference.mean() < 1.5  # another cubic, on noise
    assert np.abs(seen(TURNED + 2 * CORNER_STEPS) - expected)[8:-8, 8:-8].mean() > 2 * difference.mean()


def test_rows_and_columns_beyond_the_image_change_nothing_within() -> None:
    assert np.array_equal(seen(TURNED, (192, 256))[:HEIGHT, :WIDTH], seen(TURNED))


def test_the_pixels_are_those_of_every_machine() -> None:
    assert hashlib.sha256(seen(TURNED).tobytes()).hexdigest().startswith("b6eb03951a6118ec")


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ([(0, 0), (-WIDTH, 0), (0, -HEIGHT), (-WIDTH, -HEIGHT)], "line"),  # all in one point
        ([(0, 0), (0, 0), (WIDTH, -HEIGHT), (0, 0)], "line|camera"),
        ([(0, 0), (0, 0), (0, 0), (-WIDTH + 1, -HEIGHT + 1)], "camera"),  # folded over
    ],
)
def test_what_no_camera_sees_is_refused(corners: list[tuple[int, int]], reason: str) -> None:
    with pytest.raises(BitstreamError, match=reason):
        seen(np.array(corners) * CORNER_STEPS)
