"""Pillow's own limit of pixels."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


@contextmanager
def without_pixel_limit() -> Iterator[None]:
    """Pillow opens an image of any size: for files that we made, or whose size is checked before pixels are read."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
