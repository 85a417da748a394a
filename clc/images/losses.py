"""What of a photo's file no stream carries, each in a few words."""

from collections.abc import Iterator

from PIL import Image

from clc.images.isobmff import PictureProperties
from clc.images.jpeg_2000 import component_bits
from clc.images.metadata import EXIF_AS_TEXT, GAIN_MAP_NAMES, PNG_XMP, xmp_of
from clc.images.netpbm import netpbm_header

LIES_BEHIND = ("its HDR gain map is left out", "its video is left out")
"""What is said of what lies behind the picture in a JPEG file."""

_GAIN_MAPS = (*GAIN_MAP_NAMES, b"urn:iso:std:iso:ts:21496")
_MOTION = (b"MotionPhoto", b"MicroVideo")
_TIFF_BITS, _TIFF_SAMPLES, _IPTC = 258, 277, 33723
_JPEG_HEAD = 2**17  # where segments that announce a gain map lie
_PNG_DEPTH = 24  # where in a PNG file the bits of a sample stand


def picture_losses(image: Image.Image, data: bytes, properties: PictureProperties) -> Iterator[str]:
    """What is not carried of an opened file's pictures. data: the file."""
    bits = _sample_bits(image, data, properties)
    if bits > 8:
        yield f"{bits} bits a sample became 8"
    if _has_gain_map(image, data, properties):
        yield LIES_BEHIND[0]
    elif frames(image) > 1:
        yield "only the first of its pictures is used" if image.tell() == 0 else "only one of its pictures is used"
    if any(name in (xmp_of(image) or b"") for name in _MOTION):
        yield LIES_BEHIND[1]
    if _has_further_samples(image):
        yield "further samples of each pixel are left out"
    if properties.has_auxiliary:
        yield "its auxiliary pictures (such as depth) are left out"


def comment_losses(image: Image.Image) -> Iterator[str]:
    """What is not carried of what an opened file says in words."""
    comment = image.format != "JPEG2000" and image.info.get("comment")  # there, what wrote the file names itself
    if comment or image.info.get("photoshop") or _IPTC in getattr(image, "tag_v2", {}):
        yield "its comments (IPTC, comment) are left out"
    elif any(isinstance(value, str) for key, value in getattr(image, "text", {}).items() if not _is_xmp(key)):
        yield "its comments (text chunks) are left out"


def _is_xmp(key: object) -> bool:
    return key in (PNG_XMP, EXIF_AS_TEXT)


def frames(image: Image.Image) -> int:
    """How many pictures an opened file has."""
    shown = image.tell()
    try:
        return int(getattr(image, "n_frames", 1))
    except (OSError, EOFError, SyntaxError, ValueError):
        return 1  # what is broken behind the first picture
    finally:
        if image.tell() != shown:
            image.seek(shown)


def _has_gain_map(image: Image.Image, data: bytes, properties: PictureProperties) -> bool:
    if properties.has_gain_map:
        return True
    head = data[:_JPEG_HEAD] if image.format in ("JPEG", "MPO") else b""
    described = xmp_of(image) or b""
    return any(name in described or name in head for name in _GAIN_MAPS)


def sample_bits(data: bytes) -> int:
    """Bits of a sample of a PNG file."""
    return data[_PNG_DEPTH] if len(data) > _PNG_DEPTH else 8


def _has_further_samples(image: Image.Image) -> bool:
    """Whether Pillow passes over samples of each pixel of a TIFF file: inks and channels of single programs."""
    used = len(image.getbands()) - (image.mode == "RGBX")
    return image.format == "TIFF" and int(getattr(image, "tag_v2", {}).get(_TIFF_SAMPLES, 1)) > used


def _sample_bits(image: Image.Image, data: bytes, properties: PictureProperties) -> int:
    if image.format == "PNG" and len(data) > _PNG_DEPTH:
        return sample_bits(data)
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))))
    if image.format == "JPEG2000":
        return max((bits for bits, _ in component_bits(data)), default=8)
    if image.format == "PPM":
        header = netpbm_header(data)
        return 16 if image.mode == "I" or (header is not None and header.highest > 255) else 8
    if properties.bits is not None:
        return properties.bits
    return 16 if image.mode.startswith("I;16") else 8
