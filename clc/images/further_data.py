"""What else a photo's file holds that no stream carries: content credentials, tags and blocks of single programs.

Told by the containers alone: JPEG segments (ITU-T T.81, B.1.1.3), PNG chunks (11.3), TIFF tags (6.0, section 8), RIFF
chunks of WebP, boxes of JPEG 2000.
"""

from collections.abc import Iterable, Iterator

from PIL import Image

from clc.images.gif import gif_blocks
from clc.images.isobmff import further_boxes
from clc.images.jpeg_damage import segments
from clc.images.metadata import (
    FURTHER_XMP,
    NESTED,
    TIFF_EXIF,
    TIFF_PRIMARIES,
    TIFF_WHITE,
    TIFF_XMP,
    refers_to_further_xmp,
    xmp_of,
)
from clc.images.netpbm import netpbm_header
from clc.images.png_damage import png_chunks
from clc.images.webp import webp_chunks

_CREDENTIALS = "its content credentials (C2PA) are left out"

# Application segments of JPEG that are used, or told of elsewhere, by their number and what they begin with.
_JPEG_SEGMENTS = (
    (0, (b"JFIF", b"JFXX")),
    (1, (b"Exif\0\0", b"http://ns.adobe.com/")),
    (2, (b"ICC_PROFILE\0", b"MPF\0", b"urn:iso:std:iso:ts:21496")),
    (12, (b"Ducky",)),  # the quality that a program saved with
    (13, (b"Photoshop ",)),
    (14, (b"Adobe",)),
)
_FIRST_APPLICATION, _LAST_APPLICATION, _END_OF_IMAGE = 0xE0, 0xEF, 0xD9
_JUMBF = 11, b"JP"
_APP1 = 0xE1
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"  # XMP, part 3, 1.1.3

_PNG_CHUNKS = frozenset(
    [
        "IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "cICP", "mDCV", "cLLI", "sBIT", "bKGD",
        "hIST", "pHYs", "sPLT", "tIME", "tEXt", "zTXt", "iTXt", "eXIf", "acTL", "fcTL", "fdAT", "oFFs", "iDOT", "vpAg",
        "caNv", "orNT"
    ]
)  # fmt: skip
_PNG_CREDENTIALS = "caBX"
_WEBP_CHUNKS = frozenset(["VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF", "ICCP", "EXIF", "XMP "])
_WEBP_CREDENTIALS = "C2PA"

# Of a TIFF file: how its pixels are stored, their resolution, its profile, IPTC and Photoshop's block (comments).
_TIFF_TAGS = frozenset(
    [
        254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 290,
        291, 292, 293, 296, 297, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 337, 338, 339, 340, 341,
        347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 33723, 34377, 34675, TIFF_XMP,
        TIFF_WHITE, TIFF_PRIMARIES,
        *TIFF_EXIF, *NESTED
    ]
)  # fmt: skip
_BMP_PLAIN = (0, 3)  # compressions that are none
_GEOTIFF = frozenset([33550, 33922, 34264, 34735, 34736, 34737])
_LAYERS = 37724


def further_data(image: Image.Image, data: bytes, *, behind: bool = True) -> Iterator[str]:
    """What is left out of an opened file, each in a few words.

    data: the file. behind: look behind the picture; False if it is known what lies there.
    """
    if image.format in ("JPEG", "MPO"):
        yield from _xmp_of_jpeg(data, xmp_of(image) or b"")
        yield from _of_jpeg(data, behind=behind and image.format == "JPEG")
    elif image.format == "PNG":
        chunks = [*png_chunks(data)]
        yield from _named("chunks", _PNG_CREDENTIALS, (kind for kind, _, _ in chunks), _PNG_CHUNKS)
        yield from _behind(data, chunks[-1][2] if chunks else len(data))
    elif image.format == "WEBP":
        yield from _named("chunks", _WEBP_CREDENTIALS, (kind for kind, _ in webp_chunks(data)), _WEBP_CHUNKS)
    elif image.format == "TIFF":
        yield from _of_tiff(frozenset(getattr(image, "tag_v2", {})))
    elif image.format == "GIF":
        blocks = gif_blocks(data)
        if blocks.further:
            yield f"its further blocks ({', '.join(blocks.further)}) are left out"
        yield from _behind(data, blocks.end)
    elif image.format == "PPM":
        header = netpbm_header(data)
        yield from _behind(data, len(data) if header is None or header.end is None else header.end)
    elif image.format == "BMP":
        yield from _behind(data, _bmp_end(image, data))
    elif boxes := further_boxes(data):
        yield f"its further boxes ({', '.join(boxes)}) are left out"


def _of_jpeg(data: bytes, *, behind: bool) -> Iterator[str]:
    *found, (last, _, end) = segments(data)
    unknown = set()
    for marker, content, _ in found:
        number = marker - _FIRST_APPLICATION
        if not _FIRST_APPLICATION <= marker <= _LAST_APPLICATION:
            continue
        if not any(number == known and content.startswith(beginnings) for known, beginnings in _JPEG_SEGMENTS):
            unknown.add("" if (number, content[:2]) == _JUMBF else f"APP{number}")
    if "" in unknown:
        yield _CREDENTIALS
    if others := sorted(unknown - {""}):
        yield f"its further segments ({', '.join(others)}) are left out"
    if behind and last == _END_OF_IMAGE:
        yield from _behind(data, end + 2)


def _xmp_of_jpeg(data: bytes, used: bytes) -> Iterator[str]:
    """used: the XMP that Pillow found. Of its further part, `carried` says what it refers to."""
    found = [content for marker, content, _ in segments(data) if marker == _APP1]
    if not refers_to_further_xmp(used) and any(content.startswith(_XMP_EXTENSION) for content in found):
        yield FURTHER_XMP


def _of_tiff(tags: frozenset[int]) -> Iterator[str]:
    further = tags - _TIFF_TAGS
    if further & _GEOTIFF:
        yield "its place on a map (GeoTIFF) is left out"
    if _LAYERS in further:
        yield "its layers are left out"
    if others := sorted(further - _GEOTIFF - {_LAYERS}):
        yield f"its further TIFF tags ({', '.join(map(str, others))}) are left out"


def _named(kind: str, credentials: str, found: Iterable[bytes], known: frozenset[str]) -> Iterator[str]:
    further = {each.decode("latin-1") for each in found} - known
    if credentials in further:
        yield _CREDENTIALS
    if others := sorted(further - {credentials}):
        yield f"its further {kind} ({', '.join(others)}) are left out"


def _bmp_end(image: Image.Image, data: bytes) -> int:
    """Where a BMP file says that it ends; where its rows do, if that lies behind: some programs state too little."""
    stated, start = (int.from_bytes(data[at : at + 4], "little") for at in (2, 10))
    bits, compression = (int.from_bytes(data[at : at + 2], "little") for at in (28, 30))
    row = -(-image.width * bits // 32) * 4 if compression in _BMP_PLAIN else 0
    return max(stated, start + row * image.height)


def _behind(data: bytes, end: int) -> Iterator[str]:
    if data[end:].strip(b"\0\xff\r\n"):
        yield "data behind its picture is left out"
