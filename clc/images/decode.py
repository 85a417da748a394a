"""Encoded image bytes → pixels, by one set of stated rules.

Everything that CLC measures or stores starts here, so the rules are written down instead of left to a library's
defaults; `decode` lists them, and docs/photos.md has them for every property of a photo.
"""

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clc.errors import ImageError
from clc.images.colour import to_srgb
from clc.images.further_data import further_data
from clc.images.gif import gif_blocks
from clc.images.isobmff import is_avif, is_heif, picture_properties
from clc.images.jpeg_2000 import component_bits
from clc.images.jpeg_damage import DamagedJpegError, UncheckedJpegError, without_damage
from clc.images.losses import LIES_BEHIND, comment_losses, picture_losses, sample_bits
from clc.images.metadata import Carry, Metadata, carried, orientation_of, read_exif
from clc.images.pillow_failures import PILLOW_FAILURES
from clc.images.pixel_limit import without_pixel_limit
from clc.images.png_damage import without_damaged_chunks
from clc.images.repeated import EXIF, PROFILE, XMP, read_first_exif, repeated
from clc.images.tiff_damage import tiff_damage
from clc.images.tiff_planes import UnreadPlanesError, read_planes
from clc.images.unfinished import why_not_finished, why_not_whole
from clc.images.webp import read_unannounced
from clc.runtime.library_warnings import without_library_warnings
from clc.runtime.remarks import remark

MAX_PIXELS = 160_000_000
"""Default limit on width × height: above the largest medium-format sensors (151 megapixels)."""

# Formats that Pillow decodes by itself. Others are refused: EPS, for one, would start an external interpreter.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

_BEGINNINGS: dict[str, bytes | tuple[bytes, ...]] = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG",
    "GIF": b"GIF8",
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
}

DECODER_FAILURES = (*PILLOW_FAILURES, EOFError, MemoryError, zlib.error)
"""What Pillow's decoders raise on damaged input. MemoryError: a header that claims more than there is memory for."""

_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation."""
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC = 262
_TIFF_SAMPLE_FORMAT, _SIGNED = 339, 2
_SOLID = 255
_OPAQUE_MODES = ("L", "RGB", "CMYK", "LAB")


@dataclass(frozen=True, eq=False)
class DecodedPhoto:
    """pixels: uint8 [H, W, 3]. metadata: what of the file a stream can carry. remarks: what its owner should know."""

    pixels: np.ndarray
    metadata: Metadata
    remarks: tuple[str, ...] = ()


def decode(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode one encoded image to uint8 [H, W, 3] RGB; `name` is what error messages call it.

    - Formats: AVIF, BMP, GIF, JPEG (also MPO), JPEG 2000, PNG, PNM, TIFF, WebP, and HEIC where `pillow-heif` is
      installed; recognised by content, never by name.
    - The EXIF orientation is applied, so H and W are those of the upright photo.
    - 16-bit grey (and 12-bit grey TIFF) is scaled to 8 bits with rounding. 16-bit colour and 16-bit grey with alpha
      keep their high byte: Pillow decodes those to 8 bits by truncation.
    - 32-bit integer and floating-point images have no stated range and are refused.
    - Colours that the file states are converted to sRGB (`clc.images.colour`); numbers that are sRGB, or of which
      nothing is stated, stay as they are. CMYK and LAB without a profile go through Pillow's own conversion.
    - 1-bit, grey and palette images become RGB; transparency (alpha or a transparent colour) is composited on white,
      except a transparent level of 16-bit samples, which is ignored.
    - Of an animation or a multi-page file, the first frame.
    - Truncated and damaged images are errors, never half-grey photos.

    What is lost by that is a remark (`clc.runtime.remarks`).
    Raises ImageError if the bytes are not such an image, are damaged, or claim more than `max_pixels` pixels.
    """
    return decode_photo(data, name=name, max_pixels=max_pixels).pixels


def decode_photo(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS, carry: Carry | None = None) -> DecodedPhoto:
    """`decode`, with what the file says beside its pixels, as far as it is to be carried: by default, nothing.

    Raises what `decode` raises.
    """
    if not data:
        raise ImageError(f"{name}: empty, there is no image in it")
    if (reason := why_not_finished(data)) is not None:
        raise ImageError(f"{name}: {reason}")
    data, damage = without_damaged_chunks(data)
    with _failures(name, data):
        with _open(data, name) as image:
            _check_size(image, name, max_pixels)  # before anything of that size is allocated
            if image.format in ("JPEG", "MPO"):
                data, damage = _sound_jpeg(data, name)
            elif image.format == "TIFF":
                _check_tiff(image, data, name)
        with _open(data, name) as image:
            return _said(_photo_of(image, name, data, carry, damage), name)


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode the file at `path` to uint8 [H, W, 3] by the rules of `decode`.

    Raises ImageError if the file is missing, unreadable or not a sound image.
    """
    return read_photo(path, max_pixels=max_pixels).pixels


def read_photo(path: Path | str, *, max_pixels: int = MAX_PIXELS, carry: Carry | None = None) -> DecodedPhoto:
    """`decode_photo` of the file at `path`. Raises ImageError, also if the file is missing or unreadable."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: there is a NUL in the name
        raise ImageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return decode_photo(data, name=str(path), max_pixels=max_pixels, carry=carry)


def opened_photo(
    image: Image.Image, name: str, *, max_pixels: int = MAX_PIXELS, carry: Carry | None = None
) -> DecodedPhoto:
    """`decode_photo` of an image that Pillow has opened; its file is looked at where it is still open.

    Raises ImageError if its pixels cannot be decoded, or are too many.
    """
    _check_size(image, name, max_pixels)
    with _failures(name):
        _check_whole(image, name)
        data, damage = _file_of(image), None
        if image.format in ("JPEG", "MPO") and data:
            damage = _sound_jpeg(data, name)[1]
        elif image.format == "TIFF" and data:
            _check_tiff(image, data, name)
        return _said(_photo_of(image, name, data, carry, damage), name)


def _file_of(image: Image.Image) -> bytes:
    """The file that an image comes from; nothing if it is not there any more.

    Pillow closes it once it has read the pixels, as it does before it saves an image; then it is looked for by its
    name, as much of what it says of its colours is in the file alone, and damage of JPEG files too.
    """
    file = getattr(image, "fp", None)
    if file is None:
        return _file_by_name(image)
    if not file.seekable():
        return b""
    position = file.tell()
    file.seek(0)
    data: bytes = file.read()
    file.seek(position)
    return data


def _file_by_name(image: Image.Image) -> bytes:
    if not (name := getattr(image, "filename", "")):
        return b""
    try:
        data = Path(os.fsdecode(name)).read_bytes()
        with without_pixel_limit, Image.open(io.BytesIO(data)) as found:
            return data if found.format == image.format else b""
    except DECODER_FAILURES:  # it is gone, or another file has its name
        return b""


def _photo_of(image: Image.Image, name: str, data: bytes, carry: Carry | None, damage: str | None) -> DecodedPhoto:
    properties = picture_properties(data)
    if image.format == "TIFF":
        try:
            read_planes(image)
        except UnreadPlanesError as error:
            raise ImageError(f"{name}: cannot be decoded: {error}") from error
    if image.format == "GIF" and (described := gif_blocks(data).xmp) is not None:
        image.info.setdefault("xmp", described)
    elif image.format == "WEBP":
        read_unannounced(image, data)
    elif image.format in ("JPEG", "MPO"):
        read_first_exif(image, data)
    read_exif(image)
    remarks = [] if damage is None else [damage]
    remarks += (*picture_losses(image, data, properties), *repeated(image, data, [PROFILE]))
    upright = _upright(image)
    transparent_level = _fit_transparent_level(upright, data) if image.format == "PNG" else True
    opaque, alpha = _opaque(image, upright, data, name)
    converted = to_srgb(opaque, image, data, properties, keep_profile=carry is not None and carry.keep_profile)
    shown = converted.image if alpha is None else _on_white(converted.image, alpha)
    if not transparent_level or (alpha is None and image.has_transparency_data):
        remarks.append("its transparent level is left out")
    elif alpha is not None and np.asarray(alpha).min() < _SOLID:
        remarks.append("transparency became white")
    remarks += converted.remarks
    if carry is None:
        return DecodedPhoto(np.asarray(shown), Metadata(), tuple(remarks))
    metadata, left = carried(image, carry, size=shown.size, profile=converted.profile, to_srgb=converted.from_profile)
    if not carry.strip:
        remarks += repeated(image, data, [EXIF, XMP])
        remarks += (*comment_losses(image), *further_data(image, data, behind=not {*remarks} & {*LIES_BEHIND}))
    return DecodedPhoto(np.asarray(shown), metadata, (*remarks, *left))


def _upright(image: Image.Image) -> Image.Image:
    """A copy. Pillow's own function writes EXIF anew, which fails where that is damaged."""
    image.load()  # which turns TIFF files, and forgets their orientation
    turn = _TURNS.get(orientation_of(image))
    return image.copy() if turn is None else image.transpose(turn)


def _said(photo: DecodedPhoto, name: str) -> DecodedPhoto:
    for what in photo.remarks:
        remark(name, what)
    return photo


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{name}: {width}×{height} pixels, more than the limit of {max_pixels} (max_pixels)")


def _sound_jpeg(data: bytes, name: str) -> tuple[bytes, str | None]:
    try:
        return without_damage(data)
    except UncheckedJpegError as error:
        raise _unchecked(name, error) from error
    except DamagedJpegError as error:
        raise _damaged(name, str(error)) from error


def _check_tiff(image: Image.Image, data: bytes, name: str) -> None:
    try:
        missing = tiff_damage(image, data)
    except UncheckedJpegError as error:
        raise _unchecked(name, error) from error
    if missing is not None:
        raise _damaged(name, missing)


def _unchecked(name: str, kind: UncheckedJpegError) -> ImageError:
    what = f"it is of a kind of JPEG that cannot be checked for damage ({kind})"
    return ImageError(f"{name}: {what}; save it as an ordinary one")


def _damaged(name: str, what: str) -> ImageError:
    return ImageError(f"{name}: cannot be decoded: part of the picture is missing or damaged ({what})")


def _kind_of(data: bytes) -> str | None:
    """The format that a file begins as; None if it is none of those that are read."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if is_avif(data):
        return "AVIF"
    if is_heif(data):
        return "HEIC"
    return next((kind for kind, beginnings in _BEGINNINGS.items() if data.startswith(beginnings)), None)


@contextmanager
def _open(data: bytes, name: str) -> Iterator[Image.Image]:
    formats: tuple[str, ...] = _FORMATS
    if is_heif(data):
        try:
            import pillow_heif
        except ImportError as error:
            raise ImageError(f"{name}: HEIC needs a decoder; run: pip install 'clc[heif]'") from error
        pillow_heif.register_heif_opener()
        formats = ("HEIF",)
    with without_pixel_limit, Image.open(io.BytesIO(data), formats=formats) as image:
        _check_whole(image, name)
        yield image


def _check_whole(image: Image.Image, name: str) -> None:
    if (reason := why_not_whole(image)) is not None:
        raise ImageError(f"{name}: {reason}")


@contextmanager
def _failures(name: str, data: bytes = b"") -> Iterator[None]:
    """What Pillow raises, as ImageError. data: the file."""
    try:
        with without_library_warnings:
            yield
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: refused, {error}") from error
    except Image.UnidentifiedImageError as error:
        if (kind := _kind_of(data)) is not None:
            damaged = f"it begins as {kind}, but is damaged, or of a kind of {kind} that is not read; save it again"
            raise ImageError(f"{name}: cannot be decoded: {damaged}") from error
        raise ImageError(f"{name}: not an image in a known format ({', '.join((*_FORMATS, 'HEIC'))})") from error
    except DECODER_FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: cannot be decoded: {reason}; save it again, or use another copy") from error


def _opaque(image: Image.Image, upright: Image.Image, data: bytes, name: str) -> tuple[Image.Image, Image.Image | None]:
    """The image in one of `_OPAQUE_MODES`, 8 bits a sample, and its alpha, if it has any."""
    signed = _is_signed(image, data)
    if upright.mode.startswith("I;16") and not signed:
        return _grey(np.asarray(upright), *_tiff_grey_scale(image)), None
    if upright.mode == "I" and image.format == "PPM":
        # Pillow widens PGM to this mode and scales it to 16 bits, whatever its maximum.
        return _grey(np.asarray(upright), white=65535, inverted=False), None
    if upright.mode in ("I", "F") or signed:
        kind = "floating-point" if upright.mode == "F" else "32-bit or signed integer"
        raise ImageError(f"{name}: {kind} samples have no stated range; convert it to 8 or 16 bits")
    if upright.mode == "La":
        upright = upright.convert("LA")
    if upright.has_transparency_data or upright.mode == "RGBa":
        rgba = upright.convert("RGBA")
        grey = upright.mode in ("L", "LA")
        return (rgba.getchannel("R") if grey else rgba.convert("RGB")), rgba.getchannel("A")
    if upright.mode in _OPAQUE_MODES:
        return upright, None
    return upright.convert("L" if upright.mode == "1" else "RGB"), None


def _is_signed(image: Image.Image, data: bytes) -> bool:
    if image.format == "JPEG2000":
        return any(signed for _, signed in component_bits(data))
    return image.format == "TIFF" and _SIGNED in getattr(image, "tag_v2", {}).get(_TIFF_SAMPLE_FORMAT, ())


def _fit_transparent_level(image: Image.Image, data: bytes) -> bool:
    """Make the transparent level of a PNG file fit samples that Pillow widened to 8 bits; it leaves it as it is.

    Whether it could be done: of more than 8 bits, what is transparent cannot be told any more.
    """
    level, bits = image.info.get("transparency"), sample_bits(data)
    if isinstance(level, tuple) and bits > 8:
        del image.info["transparency"]
        return False
    if isinstance(level, int) and image.mode == "L" and bits in (2, 4):
        image.info["transparency"] = level * 255 // (2**bits - 1)
    return True


def _on_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _tiff_grey_scale(image: Image.Image) -> tuple[int, bool]:
    """The sample value of full scale, and whether 0 means white; only TIFF deviates from (65535, False)."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
    return 2**bits - 1, tags.get(_TIFF_PHOTOMETRIC) == 0


def _grey(grey: np.ndarray, white: int, inverted: bool) -> Image.Image:
    """Integer [H, W] of 0..white to 8 bits, rounded to the nearest level."""
    levels = (grey.astype(np.uint32) * 255 + white // 2) // white
    if inverted:
        levels = 255 - levels
    return Image.fromarray(levels.astype(np.uint8))
