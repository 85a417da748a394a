"""Pictures are written in the format that is asked for, and close enough to what they were."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clc.errors import OutputError
from clc.images import PictureFormat, encode, format_of

LOSSLESS = {PictureFormat.PNG, PictureFormat.WEBP, PictureFormat.TIFF}


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 3, columns * 3, rows + columns], axis=2).astype(np.uint8)


@pytest.mark.parametrize("format", list(PictureFormat))
def test_each_format_is_what_it_says(format):
    opened = Image.open(io.BytesIO(encode(smooth(40, 50), format, name="photo")))
    assert opened.format == format.upper()
    assert opened.size == (50, 40)


@pytest.mark.parametrize("format", list(PictureFormat))
def test_a_picture_comes_back_exactly_or_nearly(format):
    pixels = smooth(40, 50)
    back = np.asarray(Image.open(io.BytesIO(encode(pixels, format, name="photo"))).convert("RGB"))
    assert np.abs(back.astype(int) - pixels).mean() <= (0 if format in LOSSLESS else 2)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.png", PictureFormat.PNG),
        ("a.jpg", PictureFormat.JPEG),
        ("a.JPEG", PictureFormat.JPEG),
        ("a.webp", PictureFormat.WEBP),
        ("a.avif", PictureFormat.AVIF),
        ("a.tif", PictureFormat.TIFF),
        ("a.Tiff", PictureFormat.TIFF),
    ],
)
def test_a_name_says_the_format(name, format):
    assert format_of(Path(name)) is format


@pytest.mark.parametrize("name", ["a.gif", "a", "png"])
def test_a_name_that_says_no_format_is_refused_with_those_that_do(name):
    with pytest.raises(OutputError, match=r"\.png, \.jpg, \.jpeg, \.webp, \.avif, \.tif, \.tiff"):
        format_of(Path(name))


def test_a_device_says_no_format_and_gets_png():
    assert format_of(Path("/dev/null")) is PictureFormat.PNG


def test_a_picture_too_large_for_a_format_is_an_output_error():
    with pytest.raises(OutputError, match=r"photo\.webp: cannot be written as WEBP.*use another format"):
        encode(np.zeros((1, 16_384, 3), np.uint8), PictureFormat.WEBP, name="photo.webp")
