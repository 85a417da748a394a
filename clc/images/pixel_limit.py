"""Pillow's own limit of pixels."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from clc.runtime.process_setting import ProcessSetting


@contextmanager
def _lifted() -> Iterator[None]:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


without_pixel_limit = ProcessSetting(_lifted)
"""Pillow opens an image of any size: for files that we made, or whose size is checked before pixels are read."""
