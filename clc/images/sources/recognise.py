"""Which files are photos, by their first bytes and by their names."""

import re
from pathlib import PurePath

from clc.images.isobmff import is_avif, is_heif

FIRST_BYTES = 64
"""How many are looked at."""

_EXTENSIONS = frozenset(
    [
        ".avif", ".bmp", ".gif", ".heic", ".heics", ".heif", ".heifs", ".hif", ".jfif", ".jif", ".jp2", ".jpe", ".jpeg",
        ".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"
    ]
)  # fmt: skip
_RAW = frozenset(
    [
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw",
        ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"
    ]
)  # fmt: skip
_OTHER = frozenset(
    [
        ".jxl", ".psd", ".svg", ".jxr", ".exr", ".hdr", ".eps", ".tga", ".ico", ".qoi"
    ]
)  # fmt: skip
_BEGINNINGS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"II+\0",  # of more than 4 GB, or made by programs that always write so
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
)
_NETPBM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s")
_RAW_BEGINNING = re.compile(rb"II\*\0.{4}CR|FUJIFILMCCD-RAW|\0MRM|II(U\0|RO|RS)|FOVb|....ftypcrx ", re.DOTALL)


def why_not_a_photo(name: str, head: bytes) -> str | None:
    """Why a file is no photo that can be read; None if it may be one, by its name or by its first bytes."""
    extension = PurePath(name).suffix.lower()
    if extension in _RAW or is_raw(head):
        return "a camera's raw file; develop it to TIFF or JPEG first"
    if extension in _EXTENSIONS or _begins_as_photo(head):
        return None
    if extension in _OTHER:
        return f"{extension} is not read; convert it to PNG or TIFF first"
    return "not a photo"


def is_raw(head: bytes) -> bool:
    """Whether these are the first bytes of a camera's raw file, as far as they tell: some begin as any TIFF file."""
    return _RAW_BEGINNING.match(head) is not None


def _begins_as_photo(head: bytes) -> bool:
    bmp = head[:2] == b"BM" and head[6:10] == bytes(4)
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(_BEGINNINGS) or bmp or webp or is_avif(head) or is_heif(head) or bool(_NETPBM.match(head))
