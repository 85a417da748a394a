"""The fixed parts of a `.clca` archive: its header, the heads of its records, its footers (docs/archive.md).

header  record …  metadata  index  footer  [record …  metadata  index  footer] …
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from clc.errors import ArchiveError

FORMAT_VERSION = 1
MAGIC = b"\x93CLCA\r\n\x1a"
"""A line end and an end-of-file sign, so that a transfer as text shows at once."""
HEADER_BYTES = 16
RECORD_MARK = b"\x93CLR"
FOOTER_MARK = b"\x93CLF"
WORK_KEY_BYTES = 8

MAX_LABEL_BYTES = 8192
_RECORD = struct.Struct("<4sBHQ")  # mark, kind, bytes of label, bytes of content; then label, CRC-32, content
_CRC = struct.Struct("<I")
_FOOTER = struct.Struct("<4sIQQQ32s")  # mark, version, its own offset, offset and bytes of the index, SHA-256 of it
MAX_RECORD_HEAD_BYTES = _RECORD.size + MAX_LABEL_BYTES + _CRC.size
FOOTER_BYTES = _FOOTER.size + _CRC.size


class RecordKind(IntEnum):
    """What a record holds. A reader that meets another kind while it scans passes over it."""

    STREAM = 1  # a `.clc` stream that was coded alone
    SAME = 2  # another name for the stream of an earlier record
    METADATA = 3
    INDEX = 4
    REFERRING = 5  # a `.clc` stream that refers to others, which lie before it


def header() -> bytes:
    """The first bytes of an archive."""
    return MAGIC + bytes([FORMAT_VERSION]) + bytes(HEADER_BYTES - len(MAGIC) - 1)


def is_archive(data: bytes) -> bool:
    """Whether a file that begins so claims to be an archive."""
    return data[: len(MAGIC)] == MAGIC


def check_header(data: bytes) -> None:
    """Raises ArchiveError unless these are the first bytes of an archive that this release reads."""
    if not is_archive(data):
        raise ArchiveError("not a .clca archive: it does not begin as one")
    if len(data) < HEADER_BYTES:
        raise ArchiveError(f"archive is cut short inside its header ({len(data)} bytes)")
    if data[len(MAGIC)] > FORMAT_VERSION:
        raise ArchiveError(
            f"archive of format version {data[len(MAGIC)]} was made by a newer version of CLC; this one reads up to "
            f"{FORMAT_VERSION}"
        )
    if data[:HEADER_BYTES] != header():
        raise ArchiveError("archive is damaged in its header; `clc unpack --salvage` recovers what is whole")


@dataclass(frozen=True)
class RecordHead:
    """What comes before the content of a record. length: bytes of the content that follows."""

    kind: int
    label: bytes
    length: int

    @property
    def size(self) -> int:
        """Bytes of the head itself."""
        return _RECORD.size + len(self.label) + _CRC.size

    def pack(self) -> bytes:
        """Serialise."""
        packed = _RECORD.pack(RECORD_MARK, self.kind, len(self.label), self.length) + self.label
        return packed + _CRC.pack(zlib.crc32(packed))


def parse_record_head(data: bytes) -> RecordHead | None:
    """The head at the beginning of `data`; None if there is none, or a damaged or cut one."""
    if len(data) < _RECORD.size:
        return None
    mark, kind, label_bytes, length = _RECORD.unpack_from(data)
    end = _RECORD.size + label_bytes
    if mark != RECORD_MARK or label_bytes > MAX_LABEL_BYTES or len(data) < end + _CRC.size:
        return None
    if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        return None
    return RecordHead(kind, data[_RECORD.size : end], length)


@dataclass(frozen=True)
class Label:
    """What the record of a stream says of it, so that it can be found again without an index.

    settings, original: the first 8 bytes of the SHA-256 of how it was coded and of what it was made from.
    name: of the first member that shows it. keys: where the content of the streams lies that it refers to, in order.
    """

    settings: bytes
    original: bytes
    name: str
    keys: tuple[int, ...] = ()

    @property
    def kind(self) -> RecordKind:
        """Of the record of a stream so called."""
        return RecordKind.REFERRING if self.keys else RecordKind.STREAM

    def pack(self) -> bytes:
        """Serialise."""
        keys = b""
        if self.keys:
            keys = bytes([len(self.keys)]) + struct.pack(f"<{len(self.keys)}Q", *self.keys)
        return self.settings[:WORK_KEY_BYTES] + self.original[:WORK_KEY_BYTES] + keys + self.name.encode()

    @classmethod
    def parse(cls, head: RecordHead) -> "Label | None":
        """None if it is no label of a stream, or a damaged one."""
        if head.kind not in (RecordKind.STREAM, RecordKind.SAME, RecordKind.REFERRING):
            return None
        label, at = head.label, 2 * WORK_KEY_BYTES
        keys: tuple[int, ...] = ()
        try:
            if head.kind == RecordKind.REFERRING:
                count = label[at]
                keys = struct.unpack_from(f"<{count}Q", label, at + 1)
                at += 1 + 8 * count
            name = label[at:].decode()
        except (UnicodeDecodeError, IndexError, struct.error):
            return None
        return cls(label[:WORK_KEY_BYTES], label[WORK_KEY_BYTES : 2 * WORK_KEY_BYTES], name, keys) if name else None


@dataclass(frozen=True)
class Footer:
    """The last bytes of an archive.

    at: where in the archive it begins. index_at, index_bytes, index_sha256: of the content of the index record.
    """

    at: int
    index_at: int
    index_bytes: int
    index_sha256: bytes

    @property
    def end(self) -> int:
        """Where the archive ends that it belongs to."""
        return self.at + FOOTER_BYTES

    def pack(self) -> bytes:
        """Serialise."""
        fields = (self.at, self.index_at, self.index_bytes, self.index_sha256)
        packed = _FOOTER.pack(FOOTER_MARK, FORMAT_VERSION, *fields)
        return packed + _CRC.pack(zlib.crc32(packed))


def parse_footer(data: bytes, at: int) -> Footer | None:
    """The footer in FOOTER_BYTES bytes that were read at offset `at`; None if they are none, or a damaged one."""
    if len(data) != FOOTER_BYTES or _CRC.unpack_from(data, _FOOTER.size)[0] != zlib.crc32(data[: _FOOTER.size]):
        return None
    mark, version, own, index_at, index_bytes, digest = _FOOTER.unpack_from(data)
    if mark != FOOTER_MARK or version != FORMAT_VERSION or own != at:
        return None
    if index_at < HEADER_BYTES or index_at + index_bytes > at:
        return None
    return Footer(own, index_at, index_bytes, digest)
