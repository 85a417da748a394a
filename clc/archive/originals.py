"""Original files kept in an archive: JPEG files as JPEG XL, which gives them back to the byte, others as they are.

JPEG XL needs imagecodecs (`clc[originals]`). Other files are compressed with zstd where that helps.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clc.archive.contents import Extent, OriginalRow, sha256
from clc.archive.numbers import Cursor, pack_column, pack_varint
from clc.archive.sections import Method, Section, compressed
from clc.errors import ArchiveError

DIGEST_BYTES = 16
_JPEG = b"\xff\xd8\xff"
_WORTH = 0.98  # of the bytes: what zstd leaves of a file that it is tried on


class OriginalMethod(IntEnum):
    """How an original file is stored."""

    PLAIN = 0
    ZSTD = 1  # one frame (RFC 8878)
    JPEG_XL = 2  # a JPEG file, transcoded (ISO/IEC 18181-2: with what its reconstruction takes)


def jpeg_transcoder() -> Any:
    """What transcodes JPEG files. Raises ModuleNotFoundError if it is not installed, ArchiveError if it cannot."""
    import imagecodecs

    if not imagecodecs.JPEGXL.available:
        raise ArchiveError("this build of imagecodecs has no JPEG XL; install another one")
    return imagecodecs


def pack_original(data: bytes) -> tuple[OriginalMethod, bytes]:
    """A file as it is stored: the smallest of the ways that give it back to the byte.

    Raises as `jpeg_transcoder` for a JPEG file.
    """
    found = OriginalMethod.PLAIN, data
    if data.startswith(_JPEG):
        codecs = jpeg_transcoder()
        try:
            packed = bytes(codecs.jpegxl_encode_jpeg(data))
            if len(packed) < len(data) and bytes(codecs.jpegxl_decode_jpeg(packed)) == data:
                found = OriginalMethod.JPEG_XL, packed
        except codecs.JpegxlError:  # not every JPEG file can be: of four colours, or with a damaged end
            pass
    if found[0] == OriginalMethod.PLAIN and len(packed := compressed(data)) < _WORTH * len(data):
        found = OriginalMethod.ZSTD, packed
    return found


def unpack_original(method: int, stored: bytes, size: int, digest: bytes) -> bytes:
    """The inverse of `pack_original`. size, digest: of the file, SHA-256.

    Raises ArchiveError if what comes out is something else, and as `jpeg_transcoder`.
    """
    if method == OriginalMethod.JPEG_XL:
        codecs = jpeg_transcoder()
        try:
            data = bytes(codecs.jpegxl_decode_jpeg(stored))
        except (codecs.JpegxlError, ValueError) as error:
            raise ArchiveError(f"its original is damaged: {error}") from error
    else:
        data = Section(Method(method), size, stored).content("of an original")
    if len(data) != size or sha256(data) != digest:
        raise ArchiveError("its original is damaged: it is not the file that was packed")
    return data


@dataclass(frozen=True, eq=False)
class Originals:
    """Which members have their originals in the archive, as columns.

    which: of each member, from 1 on; 0 for none. at, lengths, methods: of each original. digests: behind each other.
    """

    which: NDArray[np.int64]
    at: NDArray[np.int64]
    lengths: NDArray[np.int64]
    methods: NDArray[np.int64]
    digests: bytes

    def __getitem__(self, member: int) -> OriginalRow | None:
        number = int(self.which[member]) - 1
        if number < 0:
            return None
        digest = self.digests[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]
        return OriginalRow(Extent(int(self.at[number]), int(self.lengths[number])), int(self.methods[number]), digest)


def pack_originals(rows: list[OriginalRow | None]) -> bytes | None:
    """The section that says where the originals of all members lie; None if none is kept."""
    kept = list(dict.fromkeys(row for row in rows if row is not None))
    if not kept:
        return None
    numbers = {row: number for number, row in enumerate(kept, start=1)}
    columns = (
        [0 if row is None else numbers[row] for row in rows],
        [row.extent.at for row in kept],
        [row.extent.length for row in kept],
        [row.method for row in kept],
    )
    packed = b"".join(pack_column(np.array(column, np.int64)) for column in columns)
    return pack_varint(len(kept)) + packed + b"".join(row.digest for row in kept)


def parse_originals(section: Section | None, members: int, limit: int) -> Originals:
    """The inverse of `pack_originals`. limit: where the index begins. Raises ArchiveError for what makes no sense."""
    if section is None:
        nothing = np.zeros(0, np.int64)
        return Originals(np.zeros(members, np.int64), nothing, nothing, nothing, b"")
    fields = Cursor(section.content("originals"), "archive is damaged: section originals")
    count = fields.varint(members)
    which = fields.column(members)
    at, lengths, methods = (fields.column(count) for _ in range(3))
    digests = fields.take(DIGEST_BYTES * count)
    fields.end()
    if np.any((which < 0) | (which > count)):
        raise ArchiveError("archive is damaged: a photo has an original that is not there")
    if np.any((at < 0) | (at > limit) | (lengths < 0) | (lengths > limit)) or np.any(at + lengths > limit):
        raise ArchiveError("archive is damaged: an original lies outside of it")
    if np.any((methods < 0) | (methods > max(OriginalMethod))):
        raise ArchiveError("an original is stored by a method that is unknown to this release of CLC")
    return Originals(which, at, lengths, methods, digests)
