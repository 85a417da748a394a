"""The index of an archive as bytes, in format version 2 (docs/archive.md)."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from clc.archive.carried import pack_carried, parse_carried
from clc.archive.contents import (
    MAX_COUNT,
    MAX_MODELS,
    MODEL_BYTES,
    ORIGINAL_DIGEST_BYTES,
    STREAM_DIGEST_BYTES,
    Index,
    MemberRow,
    StreamRow,
    check_columns,
    check_parents,
    parent_starts,
    stream_ends,
    stream_name,
)
from clc.archive.framing import HEADER_BYTES
from clc.archive.names import MAX_NAME_BYTES, check_name
from clc.archive.numbers import Cursor, pack_column, pack_varint
from clc.archive.originals import pack_originals, parse_originals
from clc.archive.sections import Method, pack_sections, parse_sections, section_of
from clc.errors import ArchiveError

_MOST_SHARED = (
    255  # bytes at the beginning of a name that it has of the one before: what few bytes expand to is bounded
)
_OF_STREAMS = ("gap", "length", "height", "width", "quality", "model", "form", "parents")
_OF_MEMBERS = ("stream", "original_bytes", "modified", "mode")


class IndexSection(IntEnum):
    """Sections of the index. From 64 on, a reader may pass over what it does not know."""

    TABLES = 1
    DIGESTS = 2
    CARRIED = 64
    CARRIED_BLOCKS = 65
    ORIGINALS = 66


def pack_index(streams: Sequence[StreamRow], members: Sequence[MemberRow]) -> bytes:
    """The index of an archive; streams in the order in which they lie in it."""
    sections: dict[int, bytes] = {
        IndexSection.TABLES: _pack_tables(streams, members),
        IndexSection.DIGESTS: b"".join(
            [
                *(stream.digest[:STREAM_DIGEST_BYTES] for stream in streams),
                *(member.original_sha256 for member in members),
            ]
        ),
    }
    if carried := pack_carried([member.carried for member in members]):
        sections |= dict(zip((IndexSection.CARRIED, IndexSection.CARRIED_BLOCKS), carried, strict=True))
    if originals := pack_originals([member.original for member in members]):
        sections[IndexSection.ORIGINALS] = originals
    return pack_sections(sections, plain=frozenset({IndexSection.DIGESTS}))


def _pack_tables(streams: Sequence[StreamRow], members: Sequence[MemberRow]) -> bytes:
    models = list(dict.fromkeys(stream.model for stream in streams))
    ends = np.array([HEADER_BYTES, *(stream.extent.end for stream in streams)], np.int64)
    starts = np.array([stream.extent.at for stream in streams], np.int64)
    columns = {
        "gap": starts - ends[:-1],
        "length": ends[1:] - starts,
        "height": [stream.height for stream in streams],
        "width": [stream.width for stream in streams],
        "quality": [stream.quality for stream in streams],
        "model": [models.index(stream.model) for stream in streams],
        "form": [stream.form for stream in streams],
        "parents": [len(stream.parents) for stream in streams],
        "stream": [member.stream for member in members],
        "original_bytes": [member.original_bytes for member in members],
        "modified": [member.modified for member in members],
        "mode": [member.mode for member in members],
    }
    parents = [parent for stream in streams for parent in stream.parents]
    shared, rests = _front_coded([member.name.encode() for member in members])
    return b"".join(
        [
            *map(pack_varint, (len(streams), len(members), len(models))),
            *map(bytes.fromhex, models),
            *(pack_column(np.array(columns[name], np.int64)) for name in _OF_STREAMS),
            pack_column(np.array(parents, np.int64)),
            *(pack_column(np.array(columns[name], np.int64)) for name in _OF_MEMBERS),
            pack_column(np.array(shared, np.int64)),
            *(rest + b"\0" for rest in rests),
        ]
    )


def _front_coded(names: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
    """How many bytes each name has of the one before, and the rest of it."""
    shared, rests, before = [], [], b""
    for name in names:
        most = min(len(name), len(before), _MOST_SHARED)
        same = next((place for place in range(most) if name[place] != before[place]), most)
        shared.append(same)
        rests.append(name[same:])
        before = name
    return shared, rests


def parse_index(data: bytes, at: int) -> Index:
    """The inverse of `pack_index`, for an index that lies at offset `at`, behind all streams.

    Raises ArchiveError for what is damaged, before anything is allocated that is larger than the index allows for.
    """
    sections = parse_sections(data, IndexSection)
    tables, digests = section_of(sections, IndexSection.TABLES), section_of(sections, IndexSection.DIGESTS)
    fields = Cursor(tables.content("tables"), "archive is damaged: section tables")
    streams, members = fields.varint(MAX_COUNT), fields.varint(MAX_COUNT)
    # Digests are not compressed: numbers of streams and members that they agree with fit the file.
    if digests.method != Method.PLAIN:
        raise ArchiveError("archive is damaged: its digests are compressed")
    split = STREAM_DIGEST_BYTES * streams
    together = digests.content("digests", expected=split + ORIGINAL_DIGEST_BYTES * members)
    models = tuple(fields.take(MODEL_BYTES).hex() for _ in range(fields.varint(MAX_MODELS)))
    of_streams = {name: fields.column(streams) for name in _OF_STREAMS}
    gaps, counts = of_streams.pop("gap"), of_streams.pop("parents")
    starts = parent_starts(counts)
    parents = fields.column(int(starts[-1]))
    of_members = {name: fields.column(members) for name in _OF_MEMBERS}
    names = _names(fields, members)
    check_columns(of_streams | of_members, streams=streams, models=len(models))
    check_parents(counts, parents, stream_name(of_members["stream"], names))
    return Index(
        of_streams=of_streams,
        ends=stream_ends(gaps, of_streams["length"], at),
        parent_starts=starts,
        parent_numbers=parents,
        stream_digests=together[:split],
        of_members=of_members,
        original_digests=together[split:],
        names=names,
        models=models,
        carried=parse_carried(sections.get(IndexSection.CARRIED), sections.get(IndexSection.CARRIED_BLOCKS), members),
        originals=parse_originals(sections.get(IndexSection.ORIGINALS), members, at),
        parts={IndexSection(kind).name.lower(): len(section.stored) for kind, section in sections.items()},
    )


def _names(fields: Cursor, members: int) -> tuple[str, ...]:
    shared = fields.column(members).tolist()
    *rests, behind = fields.take(fields.left).split(b"\0")
    if len(rests) != members or behind:
        raise ArchiveError(f"archive is damaged: it has {len(rests):,} names for {members:,} members")
    names, before = [], b""
    for same, rest in zip(shared, rests, strict=True):
        if not 0 <= same <= min(len(before), _MOST_SHARED):
            raise ArchiveError("archive is damaged: a name begins like one that is shorter")
        if len(rest) > MAX_NAME_BYTES:
            raise ArchiveError(f"archive is damaged: a name has more than {MAX_NAME_BYTES:,} bytes")
        before = before[:same] + rest
        try:
            names.append(check_name(before.decode()))
        except UnicodeDecodeError as error:
            raise ArchiveError("archive is damaged: a name is not UTF-8") from error
    if len(set(names)) < members:
        raise ArchiveError("archive is damaged: two members have the same name")
    return tuple(names)
