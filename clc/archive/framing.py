"""The fixed parts of a `.clca` archive: its header, the heads of its records, its footers (docs/archive.md).

header  record …  metadata  index  footer  [record …  metadata  index  footer] …
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from clc.archive import first_framing
from clc.archive.numbers import Cursor, pack_varint
from clc.errors import ArchiveError

FORMAT_VERSION = 2
MAGIC = b"\x93CLCA\r\n\x1a"
"""A line end and an end-of-file sign, so that a transfer as text shows at once."""
HEADER_BYTES = 16
RECORD_MARK = b"\x93CL2"
RECORD_MARKS = (RECORD_MARK, first_framing.RECORD_MARK)
FOOTER_MARK = b"\x93CLF"
WORK_KEY_BYTES = 8
INDEX_DIGEST_BYTES = 16

MAX_LABEL_BYTES = 8192
_MOST_LENGTH_BYTES = 2 + 10  # of the two varints in the head of a record
_CRC = struct.Struct("<I")
_FOOTER = struct.Struct("<4sIQQ16s")  # mark, version, its own offset, bytes of the index, SHA-256 of it
MAX_RECORD_HEAD_BYTES = max(
    len(RECORD_MARK) + 1 + _MOST_LENGTH_BYTES + MAX_LABEL_BYTES + _CRC.size, first_framing.MAX_RECORD_HEAD_BYTES
)
FOOTER_BYTES = _FOOTER.size + _CRC.size
MAX_FOOTER_BYTES = max(FOOTER_BYTES, first_framing.FOOTER_BYTES)


class RecordKind(IntEnum):
    """What a record holds. A reader that meets another kind while it scans passes over it."""

    STREAM = 1  # a `.clc` stream that was coded alone
    SAME = 2  # another name for the stream of an earlier record
    METADATA = 3  # in format version 1
    INDEX = 4
    REFERRING = 5  # a `.clc` stream that refers to others, which lie before it
    SETTINGS = 6  # with what the streams behind it were made
    ORIGINAL = 7  # a file that a photo was made from


def header(version: int = FORMAT_VERSION) -> bytes:
    """The first bytes of an archive."""
    return MAGIC + bytes([version]) + bytes(HEADER_BYTES - len(MAGIC) - 1)


def is_archive(data: bytes) -> bool:
    """Whether a file that begins so claims to be an archive."""
    return data[: len(MAGIC)] == MAGIC


def check_header(data: bytes) -> None:
    """Raises ArchiveError unless these are the first bytes of an archive that this release reads."""
    if not is_archive(data):
        raise ArchiveError("not a .clca archive: it does not begin as one")
    if len(data) < HEADER_BYTES:
        raise ArchiveError(f"archive is cut short inside its header ({len(data)} bytes)")
    version = data[len(MAGIC)]
    if version > FORMAT_VERSION:
        raise ArchiveError(
            f"archive of format version {version} was made by a newer version of CLC; this one reads up to "
            f"{FORMAT_VERSION}"
        )
    if version == 0 or data[:HEADER_BYTES] != header(version):
        raise ArchiveError("archive is damaged in its header; `clc unpack --salvage` recovers what is whole")


@dataclass(frozen=True)
class RecordHead:
    """What comes before the content of a record. length: bytes of the content that follows. size: of the head itself.

    version: of the format.
    """

    kind: int
    label: bytes
    length: int
    version: int = FORMAT_VERSION

    @property
    def size(self) -> int:
        """Bytes of the head itself."""
        if self.version == first_framing.VERSION:
            return first_framing.RECORD_BYTES + len(self.label)
        return len(self.pack())

    def pack(self) -> bytes:
        """Serialise, as of the newest version."""
        lengths = pack_varint(len(self.label)) + pack_varint(self.length)
        packed = RECORD_MARK + bytes([self.kind]) + lengths + self.label
        return packed + _CRC.pack(zlib.crc32(packed))


def parse_record_head(data: bytes) -> RecordHead | None:
    """The head at the beginning of `data`; None if there is none, or a damaged or cut one."""
    if found := first_framing.parse_record_head(data):
        return RecordHead(*found, version=first_framing.VERSION)
    if data[: len(RECORD_MARK)] != RECORD_MARK:
        return None
    fields = Cursor(data, "head of a record", len(RECORD_MARK))
    try:
        (kind,) = fields.take(1)
        label_bytes, length = fields.varint(MAX_LABEL_BYTES), fields.varint()
        label = fields.take(label_bytes)
        end = fields.at
        (checksum,) = _CRC.unpack(fields.take(_CRC.size))
    except ArchiveError:
        return None
    head = RecordHead(kind, label, length)
    # There is one way of writing a number, so that the size of a head follows from it.
    return head if checksum == zlib.crc32(data[:end]) and head.size == fields.at else None


@dataclass(frozen=True)
class Label:
    """What the record of a stream says of it, so that it can be found again without an index.

    work: the first 8 bytes of a SHA-256 of how it was coded and of what it was made from; none in format version 1.
    name: of the first member that shows it. keys: where the content of the streams lies that it refers to, in order.
    same: for another name, where the content of the stream lies; None where the content of the record says so.
    """

    work: bytes
    name: str
    keys: tuple[int, ...] = ()
    same: int | None = None

    @property
    def kind(self) -> RecordKind:
        """Of the record of a stream so called."""
        if self.same is not None:
            return RecordKind.SAME
        return RecordKind.REFERRING if self.keys else RecordKind.STREAM

    def pack(self) -> bytes:
        """Serialise."""
        numbers = () if self.kind == RecordKind.STREAM else (len(self.keys), *self.keys)
        if self.same is not None:
            numbers = (self.same,)
        return self.work[:WORK_KEY_BYTES] + b"".join(map(pack_varint, numbers)) + self.name.encode()

    @classmethod
    def parse(cls, head: RecordHead) -> "Label | None":
        """None if it is no label of a stream, or a damaged one."""
        if head.kind not in (RecordKind.STREAM, RecordKind.SAME, RecordKind.REFERRING):
            return None
        keys: tuple[int, ...] = ()
        same = None
        try:
            if head.version == first_framing.VERSION:
                keys, name = first_framing.parse_label(head.label, refers=head.kind == RecordKind.REFERRING)
                return cls(b"", name, keys) if name else None
            fields = Cursor(head.label, "label of a record")
            work = fields.take(WORK_KEY_BYTES)
            if head.kind == RecordKind.REFERRING:
                keys = tuple(fields.varint() for _ in range(fields.varint(fields.left)))
            elif head.kind == RecordKind.SAME:
                same = fields.varint()
            name = fields.take(fields.left).decode()
        except (UnicodeDecodeError, ArchiveError):
            return None
        return cls(work, name, keys, same) if name else None


@dataclass(frozen=True)
class Footer:
    """The last bytes of an archive.

    at: where in the archive it begins. index_at, index_bytes: of the content of the index record. index_digest: the
    first bytes of the SHA-256 of that, all of them in format version 1.
    """

    at: int
    index_at: int
    index_bytes: int
    index_digest: bytes
    version: int = FORMAT_VERSION

    @property
    def end(self) -> int:
        """Where the archive ends that it belongs to."""
        return self.at + (first_framing.FOOTER_BYTES if self.version == first_framing.VERSION else FOOTER_BYTES)

    def pack(self) -> bytes:
        """Serialise, as of the newest version."""
        packed = _FOOTER.pack(FOOTER_MARK, FORMAT_VERSION, self.at, self.index_bytes, self.index_digest)
        return packed + _CRC.pack(zlib.crc32(packed))


def parse_footer(data: bytes, at: int) -> Footer | None:
    """The footer that begins `data`, which was read at offset `at`; None if there is none, or a damaged one."""
    if found := first_framing.parse_footer(data, FOOTER_MARK):
        own, index_at, index_bytes, digest = found
        footer = Footer(own, index_at, index_bytes, digest, first_framing.VERSION)
    else:
        if len(data) < FOOTER_BYTES or _CRC.unpack_from(data, _FOOTER.size)[0] != zlib.crc32(data[: _FOOTER.size]):
            return None
        mark, version, own, index_bytes, digest = _FOOTER.unpack_from(data)
        if mark != FOOTER_MARK or version != FORMAT_VERSION:
            return None
        footer = Footer(own, own - index_bytes, index_bytes, digest)
    inside = footer.index_at >= HEADER_BYTES and footer.index_at + footer.index_bytes <= at
    return footer if footer.at == at and inside else None
