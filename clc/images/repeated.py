"""EXIF, XMP and colour profiles that a photo's file holds several of, where one is read."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from PIL import Image

from clc.images.gif import gif_blocks
from clc.images.jpeg_damage import head_segments
from clc.images.metadata import EXIF_AS_TEXT, PNG_XMP, exif_of_text
from clc.images.png_damage import png_chunks
from clc.images.webp import webp_chunks

_APP1 = 0xE1
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # XMP, part 3, 1.1.3
_TIFF = (b"II*\0", b"MM\0*")
EXIF, XMP, PROFILE = "EXIF", "XMP", "colour profiles"
_KINDS = {b"EXIF": EXIF, b"eXIf": EXIF, b"XMP ": XMP, b"ICCP": PROFILE, b"iCCP": PROFILE}
_TEXTS = (b"iTXt", b"tEXt", b"zTXt")


def repeated(image: Image.Image, data: bytes, kinds: Collection[str]) -> Iterator[str]:
    """What of these kinds there are several of that differ. data: the file that was opened."""
    found: dict[str, set[bytes]] = defaultdict(set)
    for kind, content in _descriptions(image, data):
        content = content.removeprefix(_EXIF)
        if kind != EXIF or content.startswith(_TIFF):  # else it is the rest of the one before, or damaged
            found[kind].add(content)
    return (f"only one of its several {kind} is used" for kind in kinds if len(found[kind]) > 1)


def read_first_exif(image: Image.Image, data: bytes) -> None:
    """Pillow takes each further EXIF of an opened JPEG file for the rest of the first, also one that is whole.

    data: the file.
    """
    first, *further = [*(content for kind, content in _descriptions(image, data) if kind == EXIF), b""]
    joined = image.info.get("exif", b"").startswith(first)
    if joined and any(content.removeprefix(_EXIF).startswith(_TIFF) for content in further):
        image.info["exif"] = first


def _descriptions(image: Image.Image, data: bytes) -> Iterator[tuple[str, bytes]]:
    if image.format in ("JPEG", "MPO"):
        found = (content for marker, content, _ in head_segments(data) if marker == _APP1)
        yield from ((EXIF if each.startswith(_EXIF) else XMP, each) for each in found if each.startswith((_EXIF, _XMP)))
    elif image.format == "PNG":
        for kind, start, end in png_chunks(data):
            if kind in _TEXTS and data.startswith(PNG_XMP.encode() + b"\0", start + 8):
                yield XMP, data[start + 8 : end - 4]
            elif kind in _KINDS:
                yield _KINDS[kind], data[start + 8 : end - 4]
        if isinstance(text := image.info.get(EXIF_AS_TEXT), str):
            yield EXIF, exif_of_text(text)
    elif image.format == "WEBP":
        yield from ((_KINDS[kind], content) for kind, content in webp_chunks(data) if kind in _KINDS)
    elif image.format == "GIF":
        blocks = gif_blocks(data)
        yield from ((XMP, content) for content in blocks.all_xmp)
        yield from ((PROFILE, content) for content in blocks.all_profiles)
