"""Index and metadata of format version 1: read for ever, written no more (docs/archive.md)."""

import struct
from enum import IntEnum

import numpy as np

from clc.archive.carried import Carried
from clc.archive.contents import (
    MAX_MODELS,
    MODEL_BYTES,
    ORIGINAL_DIGEST_BYTES,
    Extent,
    Form,
    Index,
    Numbers,
    check_columns,
    check_parents,
    parent_starts,
    stream_ends,
    stream_name,
)
from clc.archive.framing import HEADER_BYTES
from clc.archive.names import MAX_NAME_BYTES, check_name
from clc.archive.originals import parse_originals
from clc.archive.sections import FIRST_OPTIONAL, Section, section_of
from clc.errors import ArchiveError

_STREAM_DIGEST_BYTES = 32
_HEAD = struct.Struct("<IIQQ32s")  # streams, members, offset and bytes of the metadata, SHA-256 of it
_SECTION = struct.Struct("<BBQQ")  # kind, method, bytes, stored bytes

# Of a stream, and of a member: the columns of a section, each with its code in NumPy.
_OF_STREAMS = {"gap": "<u8", "length": "<u8", "height": "<u2", "width": "<u2", "quality": "<u2", "model": "u1"}
_OF_STREAMS |= {"parents": "u1"}
_OF_MEMBERS = {"stream": "<u4", "original_bytes": "<u8"}


class FirstIndexSection(IntEnum):
    """Sections of the index."""

    STREAMS = 1
    PARENTS = 2
    STREAM_DIGESTS = 3
    MEMBERS = 4
    ORIGINAL_DIGESTS = 5
    MODELS = 6


class MetadataSection(IntEnum):
    """Sections of the metadata. From 64 on, a reader may pass over what it does not know."""

    NAMES = 1
    TIMES = 2
    MODES = 3
    CARRIED = 64
    CARRIED_LENGTHS = 65
    CARRIED_BLOCKS = 66


def metadata_of(index: bytes, at: int) -> tuple[Extent, bytes]:
    """Where the metadata lies of an index, which lies at offset `at`, and its SHA-256. Raises ArchiveError."""
    if len(index) < _HEAD.size:
        raise ArchiveError("archive is damaged: its index is cut short")
    _, _, offset, length, digest = _HEAD.unpack_from(index)
    if offset < HEADER_BYTES or offset + length > at:
        raise ArchiveError("archive is damaged: its metadata lies outside of it")
    return Extent(offset, length), digest


def parse_tables(index: bytes, metadata: bytes) -> Index:
    """What an archive holds, by its index and its metadata.

    Raises ArchiveError for what is damaged, before anything is allocated that is larger than the index allows for.
    """
    streams, members, metadata_at, _, _ = _HEAD.unpack_from(index)
    sections = _parse_sections(index[_HEAD.size :], FirstIndexSection)
    # Digests are not compressed: numbers of streams and members that they agree with fit the file.
    stream_digests = _digests(sections, FirstIndexSection.STREAM_DIGESTS, _STREAM_DIGEST_BYTES * streams)
    original_digests = _digests(sections, FirstIndexSection.ORIGINAL_DIGESTS, ORIGINAL_DIGEST_BYTES * members)
    models = _models(sections)
    of_streams = _columns(sections, FirstIndexSection.STREAMS, _OF_STREAMS, streams)
    of_members = _columns(sections, FirstIndexSection.MEMBERS, _OF_MEMBERS, members)
    gaps, counts = of_streams.pop("gap"), of_streams.pop("parents")
    starts = parent_starts(counts)
    parents = _column(sections, FirstIndexSection.PARENTS, "<u4", int(starts[-1]))
    described = _parse_sections(metadata, MetadataSection)
    names = _names(described, members)
    of_members["modified"] = _column(described, MetadataSection.TIMES, "<i8", members)
    of_members["mode"] = _column(described, MetadataSection.MODES, "<u2", members)
    check_columns(of_streams | of_members, streams=streams, models=len(models))
    check_parents(counts, parents, stream_name(of_members["stream"], names))
    return Index(
        of_streams=of_streams | {"form": np.full(streams, Form.UNKNOWN, np.int64)},
        ends=stream_ends(gaps, of_streams["length"], metadata_at),
        parent_starts=starts,
        parent_numbers=parents,
        stream_digests=stream_digests,
        of_members=of_members,
        original_digests=original_digests,
        names=names,
        models=models,
        carried=_carried(described, members),
        originals=parse_originals(None, members, 0),
        parts={"metadata": len(metadata)}
        | {FirstIndexSection(kind).name.lower(): len(section.stored) for kind, section in sections.items()},
    )


def _parse_sections(data: bytes, known: type[IntEnum]) -> dict[int, Section]:
    sections: dict[int, Section] = {}
    position, last = 0, 0
    kinds = {each.value for each in known}
    while position < len(data):
        if position + _SECTION.size > len(data):
            raise ArchiveError("archive is damaged: a section is cut short")
        kind, method, size, stored = _SECTION.unpack_from(data, position)
        position += _SECTION.size
        if kind <= last:
            raise ArchiveError(f"archive is damaged: section {kind} is repeated or out of order")
        if stored > len(data) - position:
            raise ArchiveError(f"archive is damaged: section {kind} promises {stored:,} bytes")
        if kind in kinds:
            sections[kind] = Section(method, size, data[position : position + stored])
        elif kind < FIRST_OPTIONAL:
            raise ArchiveError(f"section {kind} is unknown to this release of CLC; a newer one reads the archive")
        position, last = position + stored, kind
    return sections


def _names(sections: dict[int, Section], members: int) -> tuple[str, ...]:
    named = section_of(sections, MetadataSection.NAMES)
    if named.size > members * (MAX_NAME_BYTES + 1):
        raise ArchiveError(f"section names has {named.size:,} bytes, more than {members:,} names can have")
    try:
        names = named.content("names").decode()
    except UnicodeDecodeError as error:
        raise ArchiveError("section names is damaged: it is not UTF-8") from error
    *each, rest = names.split("\0")
    if len(each) != members or rest:
        raise ArchiveError(f"section names holds {len(each):,} names for {members:,} members")
    if len(set(map(check_name, each))) < members:
        raise ArchiveError("archive is damaged: two members have the same name")
    return tuple(each)


def _digests(sections: dict[int, Section], kind: FirstIndexSection, size: int) -> bytes:
    section = section_of(sections, kind)
    if section.method != 0:
        raise ArchiveError("archive is damaged: its digests are compressed")
    return section.content(kind.name.lower(), expected=size)


def _models(sections: dict[int, Section]) -> tuple[str, ...]:
    section = section_of(sections, FirstIndexSection.MODELS)
    if section.size > MAX_MODELS * MODEL_BYTES or section.size % MODEL_BYTES:
        raise ArchiveError(f"section models has {section.size:,} bytes")
    content = section.content("models")
    return tuple(content[start : start + MODEL_BYTES].hex() for start in range(0, len(content), MODEL_BYTES))


def _carried(sections: dict[int, Section], members: int) -> Carried:
    which, lengths = sections.get(MetadataSection.CARRIED), sections.get(MetadataSection.CARRIED_LENGTHS)
    if which is None or lengths is None:
        return Carried(np.zeros(members, np.int64), np.zeros(0, np.int64))
    if lengths.size % 4 or lengths.size > 4 * members:
        raise ArchiveError(f"section carried lengths has {lengths.size:,} bytes")
    numbers = _restored(which.content("carried", expected=4 * members), "<u4")
    sizes = _restored(lengths.content("carried lengths"), "<u4")
    return Carried(numbers, sizes, sections.get(MetadataSection.CARRIED_BLOCKS))


def _column(sections: dict[int, Section], kind: IntEnum, code: str, count: int) -> Numbers:
    return _restored(section_of(sections, kind).content(kind.name.lower(), expected=int(code[-1]) * count), code)


def _columns(
    sections: dict[int, Section], kind: FirstIndexSection, codes: dict[str, str], count: int
) -> dict[str, Numbers]:
    widths = {name: int(code[-1]) * count for name, code in codes.items()}
    content = section_of(sections, kind).content(kind.name.lower(), expected=sum(widths.values()))
    columns, position = {}, 0
    for name, code in codes.items():
        columns[name] = _restored(content[position : position + widths[name]], code)
        position += widths[name]
    return columns


def _restored(content: bytes, code: str) -> Numbers:
    """Numbers of which all first bytes lie together, then all second. Beyond 63 bits they come out negative."""
    rows = np.frombuffer(content, np.uint8).reshape(int(code[-1]), -1).T
    return np.ascontiguousarray(rows).reshape(-1).view(code).astype(np.int64)
