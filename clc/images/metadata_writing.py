"""How the formats that pictures are written in hold EXIF, XMP and colour profiles."""

from enum import StrEnum
from typing import Any

from PIL import Image, PngImagePlugin

from clc.images.metadata import NESTED, PNG_XMP, TIFF_EXIF, TIFF_XMP, Metadata

_JPEG_SEGMENT = 65_533  # bytes that a segment holds
_EXIF_PREFIX = b"Exif\0\0"
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"


class PictureFormat(StrEnum):
    """A format that pictures can be written in."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"
    TIFF = "tiff"


def writing_options(metadata: Metadata, format: PictureFormat) -> tuple[dict[str, Any], list[str]]:
    """What Pillow is told so that it writes the metadata, and what the format cannot hold of it.

    Raises what Pillow does for EXIF that it cannot read.
    """
    left_out: list[str] = []
    exif, xmp = metadata.exif, metadata.xmp
    if format is PictureFormat.JPEG:
        if exif is not None and len(exif) + len(_EXIF_PREFIX) > _JPEG_SEGMENT:
            exif = None
            left_out.append("EXIF of more than 64 KiB")
        if xmp is not None and len(xmp) + len(_XMP_PREFIX) > _JPEG_SEGMENT:
            xmp = None
            left_out.append("XMP of more than 64 KiB")
    options: dict[str, Any] = {} if metadata.profile is None else {"icc_profile": metadata.profile}
    if format is PictureFormat.TIFF:
        return options | _of_tiff(exif, xmp), left_out
    if exif is not None:
        options["exif"] = _EXIF_PREFIX + exif
    if xmp is not None and format is PictureFormat.PNG:
        options |= _of_png(xmp, left_out)
    elif xmp is not None:
        options["xmp"] = xmp
    return options, left_out


def _of_png(xmp: bytes, left_out: list[str]) -> dict[str, Any]:
    chunks = PngImagePlugin.PngInfo()
    try:
        chunks.add_itxt(PNG_XMP, xmp.decode())
    except UnicodeDecodeError:
        left_out.append("XMP that is not UTF-8")
        return {}
    return {"pnginfo": chunks}


def _of_tiff(exif: bytes | None, xmp: bytes | None) -> dict[str, Any]:
    """EXIF is part of a TIFF file's own tags, of which others describe how its pixels are stored."""
    tags, written = Image.Exif(), Image.Exif()
    if xmp is not None:
        tags[TIFF_XMP] = xmp
        written.load(tags.tobytes())
    if exif is not None:
        whole = Image.Exif()
        whole.load(_EXIF_PREFIX + exif)
        for tag in TIFF_EXIF:
            if tag in whole:
                tags[tag] = whole.get_ifd(tag) if tag in NESTED else whole[tag]
        written.load(tags.tobytes())
    return {"exif": written} if len(tags) else {}
