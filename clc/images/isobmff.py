"""What an AVIF, HEIC or JPEG 2000 file says of its picture that decoders do not pass on.

They are made of boxes (ISO/IEC 14496-12, 23008-12 and 15444-1).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from clc.images.jpeg_2000 import stated_colours

_MOST_BOXES = 10_000
_PICTURE_BOXES = {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"wide", b"jP  ", b"jp2h", b"jp2c"}
_GAIN_MAPS = (b"tmap", b"hdrgainmap")


@dataclass(frozen=True)
class PictureProperties:
    """Of the primary picture. codes: ColourPrimaries and TransferCharacteristics (H.273); bits: of a sample.

    has_auxiliary: whether there are auxiliary pictures, such as its depth, beside its alpha and a gain map.
    profile: of JPEG 2000, whose ICC profile Pillow does not read; unknown_space: the number of its colour space, if it
    is one that is not known.
    """

    codes: tuple[int, int] | None = None
    bits: int | None = None
    has_gain_map: bool = False
    has_auxiliary: bool = False
    profile: bytes | None = None
    unknown_space: int | None = None


def is_heif(data: bytes) -> bool:
    """Whether these are the first bytes of a HEIC file (or its kin), which Pillow does not read by itself."""
    return data[4:8] == b"ftyp" and not is_avif(data) and _brands(data)[0] in _HEIF_BRANDS


def is_avif(data: bytes) -> bool:
    """Whether these are the first bytes of an AVIF file."""
    return data[4:8] == b"ftyp" and any(brand in (b"avif", b"avis") for brand in _brands(data))


_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def _brands(data: bytes) -> list[bytes]:
    length = min(int.from_bytes(data[:4], "big"), 256)
    return [data[8:12], *(data[start : start + 4] for start in range(16, length, 4))]


def picture_properties(data: bytes) -> PictureProperties:
    """What the file's boxes say; nothing of a file without such boxes, or with damaged ones."""
    try:
        return _properties(data)
    except (struct.error, IndexError, ValueError):
        return PictureProperties()


def further_boxes(data: bytes) -> list[str]:
    """Kinds of the outermost boxes that hold neither picture nor what is said of it elsewhere."""
    if data[4:8] not in (b"jP  ", b"ftyp"):
        return []
    try:
        kinds = {kind for kind, _ in _boxes(data)}
    except (struct.error, ValueError):
        return []
    return sorted(kind.decode("latin-1") for kind in kinds - _PICTURE_BOXES)


def _properties(data: bytes) -> PictureProperties:
    if data[4:8] == b"jP  ":
        colours = (content for kind, content in _boxes(_find(data, b"jp2h") or b"") if kind == b"colr")
        profile, unknown = stated_colours(colours)
        return PictureProperties(profile=profile, unknown_space=unknown)
    if data[4:8] != b"ftyp":
        return PictureProperties()
    meta = _find(data, b"meta")
    if meta is None:
        return PictureProperties()
    boxes = meta[4:]  # version and flags
    has_gain_map = any(name in boxes for name in _GAIN_MAPS)
    properties = _find(boxes, b"iprp") or b""
    listed = list(_boxes(_find(properties, b"ipco") or b""))
    wanted = _associated(_find(properties, b"ipma"), _primary(_find(boxes, b"pitm")))
    codes = bits = None
    for index, (kind, content) in enumerate(listed, 1):
        if wanted is not None and index not in wanted:
            continue
        if kind == b"colr" and content[:4] == b"nclx" and codes is None:
            codes = struct.unpack(">HH", content[4:8])
        elif kind == b"pixi" and bits is None and content[4]:
            bits = max(content[5 : 5 + content[4]])
        elif kind == b"av1C" and bits is None:
            bits = (8, 10, 10, 12)[content[2] >> 5 & 3]
    has_auxiliary = any(kind == b"auxC" and not _is_known_auxiliary(content) for kind, content in listed)
    return PictureProperties(codes, bits, has_gain_map, has_auxiliary)


def _is_known_auxiliary(content: bytes) -> bool:
    """Whether that is alpha (ISO/IEC 23008-12, 6.6.2.1.1) or a gain map, of which more is said elsewhere."""
    name = content[4:].partition(b"\0")[0]
    return name.endswith((b"auxid:1", b"auxiliary:alpha")) or any(each in name for each in _GAIN_MAPS)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    for _ in range(_MOST_BOXES):
        if position + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        elif size == 0:
            size = len(data) - position
        if size < header:
            raise ValueError("a box is smaller than its header")
        yield kind, data[position + header : position + size]
        position += size


def _find(data: bytes, kind: bytes) -> bytes | None:
    return next((content for name, content in _boxes(data) if name == kind), None)


def _primary(box: bytes | None) -> int | None:
    if box is None:
        return None
    return int.from_bytes(box[4:6] if box[0] == 0 else box[4:8], "big")


def _associated(box: bytes | None, item: int | None) -> set[int] | None:
    """The properties of an item, counted from 1; None if the file does not say."""
    if box is None or item is None:
        return None
    wide_item, wide_index = box[0] > 0, bool(box[3] & 1)
    (count,) = struct.unpack_from(">I", box, 4)
    position = 8
    for _ in range(min(count, _MOST_BOXES)):
        name = int.from_bytes(box[position : position + (4 if wide_item else 2)], "big")
        position += 4 if wide_item else 2
        number, position = box[position], position + 1
        found = set()
        for _ in range(number):
            found.add(struct.unpack_from(">H", box, position)[0] & 0x7FFF if wide_index else box[position] & 0x7F)
            position += 2 if wide_index else 1
        if name == item:
            return found
    return None
