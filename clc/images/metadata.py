"""What a photo's file says beside its pixels, as far as a stream carries it: EXIF, XMP and a colour profile."""

import re
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from clc.images.exif import edited_exif
from clc.images.pillow_failures import PILLOW_FAILURES

_ORIENTATION_TAG = 0x0112

MAX_EXIF = 2**16
MAX_XMP = 2**20
MAX_PROFILE = 2**22
"""Bytes that each may take."""

# Tags of a TIFF file that describe the photo; others describe how its pixels are stored.
TIFF_EXIF = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 34665, 34853, 40091, 40092, 40093, 40094, 40095)
NESTED = (34665, 34853)
"""Those of them that hold tags in turn: EXIF's own, and the position."""
TIFF_XMP = 700
TIFF_WHITE, TIFF_PRIMARIES = 318, 319
# The position in XMP: exif:GPSLatitude, drone-dji:GpsLongitude, geo:lat and so on, as attributes and as elements.
_POSITION = rb"[\w.-]+:(?:gps[\w.-]*|lat|long?|alt|[\w.-]*(?:latitude|longitude|longtitude|altitude)[\w.-]*)"
_GPS_ATTRIBUTE = re.compile(rb"\s" + _POSITION + rb"""\s*=\s*("[^"]*"|'[^']*')""", re.IGNORECASE)
_GPS_ELEMENT = re.compile(rb"<(" + _POSITION + rb")(?=[\s/>])[^>]*?(/>|>.*?</\1\s*>)", re.IGNORECASE | re.DOTALL)
_GPS_TRACE = re.compile(rb"gps|latitude|longitude", re.IGNORECASE)
_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*=\s*["']|<tiff:Orientation>\s*)\d""")
PNG_XMP = "XML:com.adobe.xmp"
"""The text chunk of a PNG file in which XMP is."""
EXIF_AS_TEXT = "Raw profile type exif"
"""The text chunk of a PNG file in which programs put EXIF before there was a chunk for it."""
GAIN_MAP_NAMES = (b"hdr-gain-map", b"hdrgainmap", b"HDRGainMap")
"""What XMP that describes a gain map contains."""

FURTHER_XMP = "the further part of its XMP is left out"


@dataclass(frozen=True)
class Carry:
    """What of a photo goes into its stream beside its pixels.

    strip: nothing. strip_gps: not the position. keep_profile: the numbers as they are, and the profile with them,
    instead of sRGB.
    """

    strip: bool = False
    strip_gps: bool = False
    keep_profile: bool = False


@dataclass(frozen=True)
class Metadata:
    """exif: a TIFF structure, without the `Exif` before it; xmp: XML; profile: the ICC profile of the pixels.

    Without a profile, the pixels are sRGB.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    profile: bytes | None = None

    def __bool__(self) -> bool:
        return any((self.exif, self.xmp, self.profile))

    def as_info(self) -> dict[str | tuple[int, int], bytes]:
        """What there is of it, by the names that Pillow has for it."""
        said = {"exif": self.exif, "xmp": self.xmp, "icc_profile": self.profile}
        return {name: content for name, content in said.items() if content is not None}


def carried(
    image: Image.Image, carry: Carry, *, size: tuple[int, int], profile: bytes | None, to_srgb: bool
) -> tuple[Metadata, list[str]]:
    """What is carried of an opened file, and what had to be left out of that.

    size: width and height of the upright picture. profile: of its numbers. to_srgb: whether they were made sRGB.
    """
    if carry.strip:
        return Metadata(profile=profile), []  # without it, the numbers would mean something else
    remarks: list[str] = []
    exif = exif_of(image)
    if exif is not None:
        try:
            exif = edited_exif(exif, width=size[0], height=size[1], to_srgb=to_srgb, without_gps=carry.strip_gps)
        except ValueError:
            exif, remarks = None, ["its EXIF is damaged and left out"]
    xmp = xmp_of(image)
    if xmp is not None and any(name in xmp for name in GAIN_MAP_NAMES):
        xmp = None
        remarks.append("its XMP is left out: it describes a gain map")
    if xmp is not None and refers_to_further_xmp(xmp):
        remarks.append(FURTHER_XMP)
    if xmp is not None:
        xmp = _ORIENTATION.sub(rb"\g<1>1", xmp)
    if xmp is not None and carry.strip_gps:
        xmp = _without_position(xmp)
        if _GPS_TRACE.search(xmp.replace(b"\0", b"")):
            xmp = None
            remarks.append("its XMP is left out: the position in it cannot be told apart")
    if exif is not None and len(exif) > MAX_EXIF:
        exif = None
        remarks.append(f"its EXIF is left out: more than {MAX_EXIF:,} bytes")
    if xmp is not None and len(xmp) > MAX_XMP:
        xmp = None
        remarks.append(f"its XMP is left out: more than {MAX_XMP:,} bytes")
    return Metadata(exif or None, xmp or None, profile), remarks


def read_exif(image: Image.Image) -> None:
    """Let Pillow read the EXIF of an opened file, also of a PNG file's text; it refuses no picture for it later on.

    What is damaged stays where it is, for `carried` to find.
    """
    if image.format == "PNG":
        image.load()  # its text may lie behind the picture
        if isinstance(text := image.info.get(EXIF_AS_TEXT), str):
            image.info.setdefault("exif", exif_of_text(text))
    if "exif" in image.info:
        with suppress(*PILLOW_FAILURES):  # Pillow raises for it only once
            image.getexif()


def orientation_of(image: Image.Image) -> object:
    """The orientation that an opened file states, in EXIF or XMP: 2 to 8 if it is to be turned."""
    with suppress(*PILLOW_FAILURES):
        return image.getexif().get(_ORIENTATION_TAG)
    return None


def exif_of(image: Image.Image) -> bytes | None:
    """The EXIF of an opened file, a TIFF structure; None without any. What `image.info` has counts, also if empty."""
    if image.format == "TIFF" and "exif" not in image.info:
        return _exif_of_tiff(image)
    exif = image.info.get("exif")
    return bytes(exif).removeprefix(b"Exif\0\0") or None if isinstance(exif, bytes) else None


def xmp_of(image: Image.Image) -> bytes | None:
    """The XMP of an opened file; None without any. What `image.info` has counts, also if empty."""
    xmp = image.info.get("xmp", image.info.get(PNG_XMP))
    if xmp is None and image.format == "TIFF":
        xmp = getattr(image, "tag_v2", {}).get(TIFF_XMP)
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return bytes(xmp).rstrip(b"\0") or None if isinstance(xmp, bytes) else None


def refers_to_further_xmp(xmp: bytes) -> bool:
    """Whether the rest of it is in further segments of a JPEG file."""
    return b"HasExtendedXMP" in xmp


def exif_of_text(text: str) -> bytes:
    """EXIF from its kind, its length and its bytes in hexadecimal digits; damaged text as it is, which is no EXIF."""
    try:
        _, length, digits = text.split(maxsplit=2)
        exif = bytes.fromhex(digits)
        return exif if len(exif) == int(length) else text.encode()
    except ValueError:
        return text.encode()


def _exif_of_tiff(image: Image.Image) -> bytes | None:
    whole = image.getexif()
    exif = Image.Exif()
    for tag in TIFF_EXIF:
        if tag in whole:
            exif[tag] = whole.get_ifd(tag) if tag in NESTED else whole[tag]
    return exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else None


def _without_position(xmp: bytes) -> bytes:
    return _GPS_ELEMENT.sub(b"", _GPS_ATTRIBUTE.sub(b"", xmp))
