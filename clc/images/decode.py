"""Encoded image bytes → pixels, by one set of stated rules.

Everything that CLC measures or stores starts here, so the rules are written down instead of left to a library's
defaults; `decode` lists them.
"""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from clc.errors import ImageError

MAX_PIXELS = 160_000_000
"""Default limit on width × height: above the largest medium-format sensors (151 megapixels)."""

# Formats that Pillow decodes by itself. Others are refused: EPS, for one, would start an external interpreter.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

DECODER_FAILURES = (
    OSError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on damaged input. MemoryError: a header that claims more than there is memory for."""

_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC = 262


def decode(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode one encoded image to uint8 [H, W, 3] RGB; `name` is what error messages call it.

    - Formats: AVIF, BMP, GIF, JPEG (also MPO), JPEG 2000, PNG, PNM, TIFF, WebP, recognised by content, never by name.
    - The EXIF orientation is applied, so H and W are those of the upright photo.
    - 16-bit grey (and 12-bit grey TIFF) is scaled to 8 bits with rounding. 16-bit colour and 16-bit grey with alpha
      keep their high byte: Pillow decodes those to 8 bits by truncation.
    - 32-bit integer and floating-point images have no stated range and are refused.
    - 1-bit, grey and palette images become RGB; transparency (alpha or a transparent colour) is composited on white,
      except a transparent level of 16-bit grey, which is ignored.
    - CMYK, YCbCr and LAB go through Pillow's own conversion. ICC profiles are not applied.
    - Of an animation or a multi-page file, the first frame.
    - Truncated images are errors, never half-grey photos.

    Raises ImageError if the bytes are not such an image, are damaged, or claim more than `max_pixels` pixels.
    """
    try:
        with warnings.catch_warnings():
            # Damaged metadata and large sizes make Pillow warn; both are either harmless or an ImageError here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ImageError(f"{name}: {width}×{height} pixels, more than the limit of {max_pixels}")
                return to_rgb(image, name)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: refused, {error}") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name}: not an image in a known format ({', '.join(_FORMATS)})") from error
    except DECODER_FAILURES as error:
        raise ImageError(f"{name}: cannot be decoded: {error or type(error).__name__}") from error


def read_image(path: Path | str) -> np.ndarray:
    """Decode the file at `path` to uint8 [H, W, 3] by the rules of `decode`.

    Raises ImageError if the file is missing, unreadable or not a sound image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
    return decode(data, name=str(path))


def to_rgb(image: Image.Image, name: str) -> np.ndarray:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        return _grey_to_rgb(np.asarray(upright), *_tiff_grey_scale(image))
    if upright.mode == "I" and image.format == "PPM":
        # Pillow widens PGM to this mode and scales it to 16 bits, whatever its maximum.
        return _grey_to_rgb(np.asarray(upright), white=65535, inverted=False)
    if upright.mode in ("I", "F"):
        kind = "32-bit or signed integer" if upright.mode == "I" else "floating-point"
        raise ImageError(f"{name}: {kind} samples have no stated range; convert it to 8 or 16 bits")
    if upright.has_transparency_data or upright.mode in ("La", "RGBa"):
        rgba = upright.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    return np.asarray(upright.convert("RGB"))


def _tiff_grey_scale(image: Image.Image) -> tuple[int, bool]:
    """The sample value of full scale, and whether 0 means white; only TIFF deviates from (65535, False)."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
    return 2**bits - 1, tags.get(_TIFF_PHOTOMETRIC) == 0


def _grey_to_rgb(grey: np.ndarray, white: int, inverted: bool) -> np.ndarray:
    """Integer [H, W] of 0..white to uint8 [H, W, 3], rounded to the nearest level."""
    levels = (grey.astype(np.uint32) * 255 + white // 2) // white
    if inverted:
        levels = 255 - levels
    return np.repeat(levels.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
