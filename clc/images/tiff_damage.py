"""Whether a TIFF file holds its whole picture.

Pillow leaves black what no strip brings, and libtiff does not pass on what libjpeg says of JPEG data (TIFF 6.0,
sections 20 and 22; Adobe's TechNote 2).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from clc.images.jpeg_damage import DamagedJpegError, UncheckedJpegError, without_damage

_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _PLANES = 256, 257, 259, 277, 284
_STRIP_OFFSETS, _STRIP_ROWS, _STRIP_LENGTHS = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 322, 323, 324, 325
_JPEG_TABLES = 347
_OLD_JPEG, _JPEG, _SEPARATE = 6, 7, 2
_FILE_OFFSET, _FILE_LENGTH = 513, 514  # JPEGInterchangeFormat


def tiff_damage(image: Image.Image, data: bytes) -> str | None:
    """What is missing of an opened TIFF file's picture or cannot be read; None if nothing is found.

    data: the file. Raises UncheckedJpegError if that cannot be told.
    """
    tags: Any = getattr(image, "tag_v2", {})
    tiled = _TILE_OFFSETS in tags
    starts = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ())
    lengths = tags.get(_TILE_LENGTHS if tiled else _STRIP_LENGTHS, ())
    if len(starts) < _parts(tags, tiled) or 0 in starts:
        return f"some of its {'tiles' if tiled else 'strips'} are missing"
    compression = tags.get(_COMPRESSION)
    if compression not in (_OLD_JPEG, _JPEG) or len(lengths) < len(starts):
        return None
    places = [*zip(starts, lengths[: len(starts)], strict=True)]
    try:
        if compression == _OLD_JPEG:
            files: Iterable[bytes] = [_old_jpeg_file(data, tags, places)]
        else:
            files = _jpeg_files(data, tags.get(_JPEG_TABLES, b""), places)
        for file in files:
            without_damage(file)
    except DamagedJpegError as error:
        return str(error)
    return None


def _parts(tags: Any, tiled: bool) -> int:
    """How many strips or tiles a picture of this size has."""
    width, height = int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))
    across, down = (tags.get(_TILE_WIDTH), tags.get(_TILE_HEIGHT)) if tiled else (width, tags.get(_STRIP_ROWS, height))
    if not across or not down:
        return 0
    planes = int(tags.get(_SAMPLES, 1)) if tags.get(_PLANES) == _SEPARATE else 1
    return planes * -(-width // int(across)) * -(-height // min(int(down), height))


def _jpeg_files(data: bytes, tables: bytes, places: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Each strip or tile with the tables that they share, as a file of its own."""
    for start, length in places:
        yield (tables[:-2] or b"\xff\xd8") + data[start + 2 : start + length]


def _old_jpeg_file(data: bytes, tags: Any, places: list[tuple[int, int]]) -> bytes:
    """The whole file that section 22 of TIFF 6.0 has beside the strips, which lie in it or follow it.

    Raises UncheckedJpegError if there is none, or several strips follow.
    """
    start, length = int(tags.get(_FILE_OFFSET, 0)), int(tags.get(_FILE_LENGTH, 0))
    file = data[start : start + length]
    if file[:2] != b"\xff\xd8":
        raise UncheckedJpegError("tables and strips of TIFF's old JPEG")
    if all(start <= place and place + size <= start + length for place, size in places):
        return file
    if len(places) > 1:
        raise UncheckedJpegError("strips of TIFF's old JPEG")
    place, size = places[0]
    return file.removesuffix(b"\xff\xd9") + data[place : place + size]
