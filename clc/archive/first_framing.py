"""Heads of records and footers of format version 1: read for ever, written no more (docs/archive.md)."""

import struct
import zlib

from clc.errors import ArchiveError

VERSION = 1
RECORD_MARK = b"\x93CLR"
_MAX_LABEL_BYTES = 8192
_WORK_BYTES = 16  # hashes that begin a label
_RECORD = struct.Struct("<4sBHQ")  # mark, kind, bytes of label, bytes of content; then label, CRC-32, content
_CRC = struct.Struct("<I")
_FOOTER = struct.Struct("<4sIQQQ32s")  # mark, version, its own offset, offset and bytes of the index, SHA-256 of it
RECORD_BYTES = _RECORD.size + _CRC.size
"""Of the head of a record, its label apart."""
MAX_RECORD_HEAD_BYTES = RECORD_BYTES + _MAX_LABEL_BYTES
FOOTER_BYTES = _FOOTER.size + _CRC.size


def parse_record_head(data: bytes) -> tuple[int, bytes, int] | None:
    """Kind, label and bytes of the content, of the head that begins `data`; None if there is none, or a damaged one."""
    if len(data) < _RECORD.size:
        return None
    mark, kind, label_bytes, length = _RECORD.unpack_from(data)
    end = _RECORD.size + label_bytes
    if mark != RECORD_MARK or label_bytes > _MAX_LABEL_BYTES or len(data) < end + _CRC.size:
        return None
    if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        return None
    return kind, data[_RECORD.size : end], length


def parse_label(label: bytes, *, refers: bool) -> tuple[tuple[int, ...], str]:
    """Where the streams lie that a stream refers to, and its name. Raises ArchiveError if it is damaged."""
    keys: tuple[int, ...] = ()
    at = _WORK_BYTES
    try:
        if refers:
            count = label[at]
            keys = struct.unpack_from(f"<{count}Q", label, at + 1)
            at += 1 + 8 * count
        return keys, label[at:].decode()
    except (UnicodeDecodeError, IndexError, struct.error) as error:
        raise ArchiveError(f"label of a record is damaged: {error}") from error


def parse_footer(data: bytes, mark: bytes) -> tuple[int, int, int, bytes] | None:
    """Its own offset, offset and bytes of the index, and SHA-256 of that, of the footer that begins `data`; or None."""
    if len(data) < FOOTER_BYTES or _CRC.unpack_from(data, _FOOTER.size)[0] != zlib.crc32(data[: _FOOTER.size]):
        return None
    found, version, own, index_at, index_bytes, digest = _FOOTER.unpack_from(data)
    return (own, index_at, index_bytes, digest) if found == mark and version == VERSION else None
