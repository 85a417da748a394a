"""Damage of a PNG file outside its picture (PNG, third edition, 5.3 and 11.3), for which Pillow refuses the file."""

import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"acTL": 8, b"fcTL": 26, b"tIME": 7}
_DEFLATE = 0


def without_damaged_chunks(data: bytes) -> tuple[bytes, str | None]:
    """A file without the chunks that its picture does without and that are damaged, or that Pillow holds to be too
    large, and what is remarkable about it.

    Files of other formats stay as they are.
    """
    if not data.startswith(_SIGNATURE):
        return data, None
    kept, damaged, last = [_SIGNATURE], set(), b""
    for last, start, end in png_chunks(data):
        if _is_ancillary(last) and not _is_sound(last, data[start + 8 : end - 4], data[end - 4 : end]):
            damaged.add(last.decode("latin-1"))
        else:
            kept.append(data[start:end])
    remarks = [f"its damaged or too large chunks ({', '.join(sorted(damaged))}) are left out"] if damaged else []
    if last == b"IEND":
        kept.append(data[end:])
    elif last:
        remarks.append("the PNG file lacks its end")
    return b"".join(kept) if damaged else data, "; ".join(remarks) or None


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk, where it starts and where it ends, up to the end of the file or of the picture."""
    start, kind = len(_SIGNATURE), b""
    while start + 12 <= len(data) and kind != b"IEND":
        kind = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield kind, start, end
        start = end


def _is_ancillary(kind: bytes) -> bool:
    return kind.isalpha() and kind[:1].islower()


def _is_sound(kind: bytes, content: bytes, check: bytes) -> bool:
    if zlib.crc32(kind + content).to_bytes(4, "big") != check or len(content) < _LENGTHS.get(kind, 0):
        return False
    if kind in (b"iCCP", b"zTXt"):
        _, ended, packed = content.partition(b"\0")
        return ended == b"\0" and packed[:1] == bytes([_DEFLATE]) and _is_of_a_size(packed[1:])
    if kind == b"iTXt":
        _, _, rest = content.partition(b"\0")
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        return rest[:1] != b"\1" or _is_of_a_size(packed)
    return True


def _is_of_a_size(packed: bytes) -> bool:
    """Whether Pillow unpacks that; data that is damaged it passes over by itself."""
    try:
        unpacking = zlib.decompressobj()
        unpacking.decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:
        return True
    return not unpacking.unconsumed_tail
