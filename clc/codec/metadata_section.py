"""Section metadata of a stream: EXIF, XMP and the ICC profile of its pixels, compressed (docs/bitstream.md).

No decoder needs it for the picture, so damage in it is never a reason not to show one.
"""

import zlib

from clc.codec.packing import pack_number, read_number
from clc.errors import BitstreamError
from clc.images.metadata import MAX_EXIF, MAX_PROFILE, MAX_XMP, Metadata

_ITEMS = ("exif", "xmp", "profile")  # kinds 1, 2, 3
_LIMITS = {"exif": MAX_EXIF, "xmp": MAX_XMP, "profile": MAX_PROFILE}
MAX_METADATA = MAX_EXIF + MAX_XMP + MAX_PROFILE + 64
"""Bytes that the section's content may take once it is decompressed."""


def pack_metadata(metadata: Metadata) -> bytes | None:
    """The section's content; None if there is nothing to hold.

    >>> read_metadata(pack_metadata(Metadata(xmp=b"<x/>"))).xmp
    b'<x/>'
    """
    items = pack_items(metadata)
    return pack_number(len(items)) + zlib.compress(items, 9) if items else None


def pack_items(metadata: Metadata) -> bytes:
    """What the section holds, not compressed; empty if there is nothing to hold."""
    items = b""
    for kind, name in enumerate(_ITEMS, 1):
        content = getattr(metadata, name)
        if content is not None:
            assert len(content) <= _LIMITS[name], (name, len(content))
            items += bytes([kind]) + pack_number(len(content)) + content
    return items


def read_metadata(section: bytes | None) -> Metadata:
    """What a section holds. Raises BitstreamError if it is damaged or would be larger than `MAX_METADATA`."""
    if section is None:
        return Metadata()
    size, start = read_number(section, 0)
    if size > MAX_METADATA:
        raise BitstreamError(f"section metadata declares {size:,} bytes; {MAX_METADATA:,} are allowed")
    decompressor = zlib.decompressobj()
    try:
        items = decompressor.decompress(section[start:], size + 1)
    except zlib.error as error:
        raise BitstreamError(f"section metadata cannot be decompressed: {error}") from error
    if len(items) != size or not decompressor.eof or decompressor.unused_data:
        raise BitstreamError(f"section metadata does not hold the {size:,} bytes that it declares")
    return read_items(items)


def read_items(items: bytes) -> Metadata:
    """The inverse of `pack_items`. Raises BitstreamError for what is damaged."""
    found: dict[str, bytes] = {}
    position = last = 0
    while position < len(items):
        kind = items[position]
        length, start = read_number(items, position + 1)
        position = start + length
        if kind <= last or position > len(items):
            raise BitstreamError(f"item {kind} of section metadata is out of order or cut short")
        last = kind
        if kind > len(_ITEMS):
            continue  # of a later release
        name = _ITEMS[kind - 1]
        if length > _LIMITS[name]:
            raise BitstreamError(f"{name} of section metadata takes {length:,} bytes; {_LIMITS[name]:,} are allowed")
        found[name] = items[start:position]
    return Metadata(**found)
