"""JPEG files to measure against."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from clc.images.pixel_limit import without_pixel_limit
from clc.runtime.process_setting import ProcessSetting

LONGEST_SIDE = 65_500
"""Pixels along a side that the format allows."""


def jpeg_file(image: NDArray[np.uint8], quality: int, sampling: str = "4:2:0") -> bytes:
    """uint8 [H, W, 3] → baseline JPEG with optimised Huffman tables and no metadata.

    sampling: of the chroma, "4:4:4" or "4:2:0". Raises ValueError for a side beyond `LONGEST_SIDE`.
    """
    if max(image.shape[:2]) > LONGEST_SIDE:
        raise ValueError(f"JPEG has no image of {image.shape[1]}×{image.shape[0]} pixels")
    file = io.BytesIO()
    with _room_for(4 * image.size // 3):  # more than noise takes at the best quality
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=sampling, optimize=True)
    return file.getvalue()


def read_jpeg(file: bytes) -> NDArray[np.uint8]:
    """The pixels uint8 [H, W, 3] of a file that `jpeg_file` made."""
    with without_pixel_limit, Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture)


@contextmanager
def _as_before() -> Iterator[None]:
    before = ImageFile.MAXBLOCK
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before


_largest_block = ProcessSetting(_as_before)


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """Pillow gives libjpeg one buffer for a file with optimised tables, of a byte a pixel unless told otherwise."""
    with _largest_block:
        ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, size)
        yield
