"""How large an image a codec takes, in either direction."""

import numpy as np
from numpy.typing import NDArray

from clc.codec.stream_header import MAX_SIDE, Header
from clc.errors import BitstreamError, ImageError

MAX_PIXELS = 2**27
"""Default limit of the images that a codec accepts, in either direction."""


def check_image(image: NDArray[np.uint8], max_pixels: int) -> None:
    """Raises ImageError for what is not uint8 [H, W, 3], and for an image that is too large."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    if max(height, width) > MAX_SIDE or height * width > max_pixels:
        raise ImageError(
            f"image is {width}×{height}; this codec accepts at most {MAX_SIDE:,} pixels a side "
            f"and {max_pixels:,} in all (max_pixels)"
        )


def check_declared(header: Header, max_pixels: int) -> None:
    """Raises BitstreamError for a stream that declares a larger image; before memory is allocated for it."""
    if header.height * header.width > max_pixels:
        raise BitstreamError(
            f"stream declares {header.width}×{header.height} pixels; this codec accepts {max_pixels:,} (max_pixels)"
        )
