"""Chunks of a WebP file (RFC 9649, 2.7).

libwebp passes over those that the file's flags do not announce; some programs add EXIF or XMP and leave the flags.
"""

import struct
from collections.abc import Iterator

from PIL import Image

_DESCRIBES = {b"EXIF": "exif", b"XMP ": "xmp", b"ICCP": "icc_profile"}  # as Pillow calls them


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the content of each."""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def read_unannounced(image: Image.Image, data: bytes) -> None:
    """Give an opened WebP file what describes it and what Pillow did not find. data: the file."""
    for kind, content in webp_chunks(data):
        if kind in _DESCRIBES and content:
            image.info.setdefault(_DESCRIBES[kind], content)
