"""Finding what an archive holds without its index: by the marks of its records."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clc.archive.byte_ranges import ByteRanges
from clc.archive.contents import Extent, MemberRow
from clc.archive.framing import (
    FOOTER_MARK,
    MAX_FOOTER_BYTES,
    MAX_RECORD_HEAD_BYTES,
    RECORD_MARK,
    RECORD_MARKS,
    WORK_KEY_BYTES,
    Label,
    RecordHead,
    RecordKind,
    parse_footer,
    parse_record_head,
)
from clc.codec.bitstream import Bitstream
from clc.errors import ArchiveError, BitstreamError

if TYPE_CHECKING:
    from clc.archive.container import ArchiveReader

_FIRST_WINDOW_BYTES, _WINDOW_BYTES = 2**12, 2**20


@dataclass(frozen=True)
class FoundRecord:
    """A record. content: where its content lies. whole: whether all of that is there."""

    head: RecordHead
    content: Extent
    whole: bool


@dataclass(frozen=True)
class FoundStream:
    """A stream and what its record says of it."""

    label: Label
    extent: Extent


@dataclass(frozen=True)
class FoundOriginal:
    """An original file. work: the first bytes of its SHA-256. method: how it is stored."""

    work: bytes
    method: int
    extent: Extent


def find_records(source: ByteRanges, start: int) -> Iterator[FoundRecord]:
    """The records from `start` on. Where something else lies between them, the next mark is looked for."""
    position = start
    while position < source.size:
        data = source.read(position, MAX_RECORD_HEAD_BYTES)
        head = parse_record_head(data)
        if head is not None:
            content = Extent(position + head.size, head.length)
            whole = content.end <= source.size
            yield FoundRecord(head, content, whole)
            # Where writing was torn and went on, the rest of a record is other records.
            position = content.end if whole and _continues(source, content.end) else content.at
        elif footer := parse_footer(data[:MAX_FOOTER_BYTES], position):
            position = footer.end
        else:
            position = _next_mark(source, position + 1)


def _continues(source: ByteRanges, position: int) -> bool:
    return source.read(position, len(RECORD_MARK)) in (*RECORD_MARKS, FOOTER_MARK, b"")


def _next_mark(source: ByteRanges, position: int) -> int:
    size = _FIRST_WINDOW_BYTES
    while position < source.size:
        window = source.read(position, size + len(RECORD_MARK) - 1)
        found = [place for mark in RECORD_MARKS if (place := window.find(mark)) >= 0]
        if found:
            return position + min(found)
        position += size
        size = min(2 * size, _WINDOW_BYTES)
    return source.size


def whole_streams(source: ByteRanges, start: int) -> Iterator[FoundStream]:
    """The streams from `start` on that are whole by their own checksum."""
    for record in find_records(source, start):
        label = Label.parse(record.head)
        if label is None or record.head.kind == RecordKind.SAME:
            continue
        if record.whole and _is_sound(source.read(record.content.at, record.content.length)):
            yield FoundStream(label, record.content)


def whole_originals(source: ByteRanges, start: int) -> Iterator[FoundOriginal]:
    """The original files from `start` on of which all bytes are there; whether these are right is not looked at."""
    for record in find_records(source, start):
        label = record.head.label
        if record.head.kind == RecordKind.ORIGINAL and record.whole and len(label) > WORK_KEY_BYTES:
            yield FoundOriginal(label[:WORK_KEY_BYTES], label[WORK_KEY_BYTES], record.content)


def settings_in(source: ByteRanges, start: int) -> set[bytes]:
    """Of what the streams from `start` on were made with, the first bytes of each hash."""
    return {record.head.label for record in find_records(source, start) if record.head.kind == RecordKind.SETTINGS}


def _is_sound(stream: bytes) -> bool:
    try:
        Bitstream.from_bytes(stream)
    except BitstreamError:
        return False
    return True


@dataclass(frozen=True)
class Salvaged:
    """A member that was found.

    stream: where its bytes lie; None if it is lost, for the reason given. keys: those that it refers to. row: what the
    index says of it.
    """

    name: str
    stream: Extent | None
    reason: str = ""
    keys: tuple[Extent, ...] = ()
    row: MemberRow | None = None


def salvage(source: ByteRanges) -> Iterator[Salvaged]:
    """Every member of an archive that is cut short or damaged, whole or not, found by its index or without it.

    Names that are found twice come twice. Raises ArchiveError if the file cannot be read at all.
    """
    from clc.archive.container import ArchiveReader

    lengths: dict[int, int] = {}
    keys: dict[int, tuple[int, ...]] = {}
    start = 0
    try:
        reader = ArchiveReader(source)
    except ArchiveError:
        pass
    else:
        start = reader.footer.end
        for name in reader.names:
            row = reader.stream_row(name)
            lengths[row.extent.at] = row.extent.length
            keys[row.extent.at] = tuple(reader.index.stream(number).extent.at for number in row.parents)
            yield _by_index(reader, name)
    for record in find_records(source, start):
        label = Label.parse(record.head)
        if label is None:
            continue
        if record.head.kind != RecordKind.SAME:
            lengths[record.content.at] = record.content.length
            keys[record.content.at] = label.keys
            yield _judged(source, label.name, record.content, record.whole, label.keys, lengths)
        elif record.whole:
            at = label.same
            if at is None:
                at = int.from_bytes(source.read(record.content.at, 8), "little")
            extent = Extent(at, lengths.get(at, 0))
            yield _judged(source, label.name, extent, at in lengths, keys.get(at, ()), lengths)


def _by_index(reader: "ArchiveReader", name: str) -> Salvaged:
    row = reader.stream_row(name)
    member = None
    with suppress(ArchiveError):  # what it carries may be damaged
        member = reader.member(name)
    reason = ""
    for number in row.parents:
        if not reader.is_sound(reader.index.stream(number)):
            reason = "a photo that it refers to is damaged"
    if not reader.is_sound(row):
        reason = "its bytes are not those that were packed"
    if reason:
        return Salvaged(name, None, reason, row=member)
    keys = tuple(reader.index.stream(number).extent for number in row.parents)
    return Salvaged(name, row.extent, keys=keys, row=member)


def _judged(
    source: ByteRanges, name: str, extent: Extent, whole: bool, keys: tuple[int, ...], lengths: Mapping[int, int]
) -> Salvaged:
    """keys: where the streams lie that it refers to. lengths: of the streams that were found."""
    if not whole:
        return Salvaged(name, None, "the archive is cut short inside it")
    extents = tuple(Extent(at, lengths.get(at, 0)) for at in keys)
    if not all(each.length and _is_sound(source.read(each.at, each.length)) for each in extents):
        return Salvaged(name, None, "a photo that it refers to is damaged")
    if not _is_sound(source.read(extent.at, extent.length)):
        return Salvaged(name, None, "its bytes are damaged")
    return Salvaged(name, extent, keys=extents)
