"""A whole image as a lossless WebP file: the last resort, and the smallest form of many drawn pictures."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.errors import BitstreamError
from clc.images.pixel_limit import without_pixel_limit

_LONGEST_SIDE = 16_383
_EFFORT = 4  # WebP's method, 0 to 6; more takes seconds a megapixel


def lossless_file(image: NDArray[np.uint8]) -> bytes | None:
    """uint8 [H, W, 3] → a WebP file; None if WebP has no images of that size."""
    if max(image.shape[:2]) > _LONGEST_SIDE:
        return None
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, method=_EFFORT, exact=True)
    return file.getvalue()


def read_lossless(file: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The image uint8 [height, width, 3]. Raises BitstreamError if the file is damaged or of another size."""
    try:
        with without_pixel_limit, Image.open(io.BytesIO(file), formats=["WEBP"]) as opened:
            if opened.size != (width, height):
                raise BitstreamError(f"section picture is {opened.width}×{opened.height}, not {width}×{height}")
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise BitstreamError(f"section picture is damaged: {error}") from error
