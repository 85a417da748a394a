"""Pillow's own limit of pixels."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_lock = threading.Lock()
_lifted = 0
_limit: int | None = None


@contextmanager
def without_pixel_limit() -> Iterator[None]:
    """Pillow opens an image of any size: for files that we made, or whose size is checked before pixels are read.

    Several threads may be inside at once; the limit is back when the last one is out.
    """
    global _lifted, _limit
    with _lock:
        if _lifted == 0:
            _limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _lifted += 1
    try:
        yield
    finally:
        with _lock:
            _lifted -= 1
            if _lifted == 0:
                Image.MAX_IMAGE_PIXELS = _limit
