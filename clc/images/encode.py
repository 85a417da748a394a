"""Pixels → encoded image bytes: the formats that decoded pictures are written in, and how."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clc.errors import OutputError
from clc.images.metadata import Metadata
from clc.images.metadata_writing import PictureFormat, writing_options
from clc.images.pillow_failures import PILLOW_FAILURES
from clc.runtime.files import is_special
from clc.runtime.library_warnings import without_library_warnings
from clc.runtime.remarks import remark


@dataclass(frozen=True)
class _Writing:
    """The file names' suffixes, the usual one first, and what Pillow is told."""

    suffixes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


# Lossless, or at a quality whose loss is far below that of the stream that the picture came from.
_WRITING = {
    PictureFormat.PNG: _Writing((".png",)),
    PictureFormat.JPEG: _Writing((".jpg", ".jpeg"), {"quality": 95, "subsampling": "4:4:4"}),
    PictureFormat.WEBP: _Writing((".webp",), {"lossless": True}),
    PictureFormat.AVIF: _Writing((".avif",), {"quality": 90, "subsampling": "4:4:4"}),
    PictureFormat.TIFF: _Writing((".tif", ".tiff")),
}


def suffix_of(format: PictureFormat) -> str:
    """What the names of files in this format usually end in.

    >>> suffix_of(PictureFormat.JPEG)
    '.jpg'
    """
    return _WRITING[format].suffixes[0]


def format_of(path: Path) -> PictureFormat:
    """The format that a file's name asks for; PNG for a FIFO, a device or a descriptor, whose name asks for nothing.

    Raises OutputError, with the suffixes that are known, for another name.

    >>> format_of(Path("photo.JPG"))
    <PictureFormat.JPEG: 'jpeg'>
    """
    for format, writing in _WRITING.items():
        if path.suffix.lower() in writing.suffixes:
            return format
    if is_special(path):
        return PictureFormat.PNG
    known = ", ".join(suffix for writing in _WRITING.values() for suffix in writing.suffixes)
    raise OutputError(f"{path}: the name does not say the format; end it in one of {known}, or give the format")


def encode(
    pixels: np.ndarray,
    format: PictureFormat,
    *,
    name: str,
    metadata: Metadata | None = None,
    quality: int | None = None,
) -> bytes:
    """Encode uint8 [H, W, 3] RGB; `name` is what error messages call the result.

    PNG, TIFF and WebP are lossless; JPEG is written at quality 95 and AVIF at quality 90, both without subsampling.
    metadata: what goes into the file beside the pixels, as far as the format can hold it; the rest is a remark.
    quality: 1 to 100 instead, for JPEG, AVIF and WebP, which is lossy then; PNG and TIFF have none.
    Raises OutputError if the format cannot hold the picture (WebP ends at 16,383 pixels a side, JPEG at 65,500) or
    if the installed Pillow does not have it.
    """
    assert pixels.dtype == np.uint8, pixels.dtype
    assert pixels.shape[2:] == (3,), pixels.shape
    metadata = metadata or Metadata()
    options = dict(_WRITING[format].options)
    if quality is not None and options:
        options |= {"quality": quality, "lossless": False}
    try:
        encoded, left_out = _written(pixels, format, options, metadata)
    except PILLOW_FAILURES as error:
        if metadata.exif is None:
            raise _unwritten(name, format, error) from error
        try:
            # EXIF that is sound as far as we look, but not as far as Pillow does.
            encoded, left_out = _written(pixels, format, options, replace(metadata, exif=None))
        except PILLOW_FAILURES as failure:
            raise _unwritten(name, format, failure) from failure
        left_out = ["EXIF of this form", *left_out]
    for what in left_out:
        remark(name, f"{what} cannot be held by {format.upper()} and is left out")
    return encoded


def _written(
    pixels: np.ndarray, format: PictureFormat, options: dict[str, Any], metadata: Metadata
) -> tuple[bytes, list[str]]:
    encoded = io.BytesIO()
    with without_library_warnings:
        said, left_out = writing_options(metadata, format)
        Image.fromarray(pixels).save(encoded, format.upper(), **options, **said)
    return encoded.getvalue(), left_out


def _unwritten(name: str, format: PictureFormat, error: Exception) -> OutputError:
    return OutputError(f"{name}: cannot be written as {format.upper()}: {error}; use another format")
