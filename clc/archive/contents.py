"""The index of an archive and its metadata: which streams there are, and which members show them (docs/archive.md).

Everything is columns, so that a million members take no million objects.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clc.archive.carried import Carried, pack_carried
from clc.archive.framing import HEADER_BYTES
from clc.archive.names import MAX_NAME_BYTES, check_name
from clc.archive.sections import Section, pack_sections, parse_sections, restored, transposed
from clc.errors import ArchiveError

MAX_PARENTS = 5
"""Key members that a member may refer to."""
MAX_COUNT = 2**32 - 1
DIGEST_BYTES = 32
MODEL_BYTES = 8
_HEAD = struct.Struct("<IIQQ32s")  # streams, members, offset and bytes of the metadata, SHA-256 of it

# Of a stream, and of a member: the columns of a section, each with its code in NumPy.
_STREAM_COLUMNS = {"gap": "<u8", "length": "<u8", "height": "<u2", "width": "<u2", "quality": "<u2", "model": "u1"}
_STREAM_COLUMNS |= {"parents": "u1"}
_MEMBER_COLUMNS = {"stream": "<u4", "original_bytes": "<u8"}


class IndexSection(IntEnum):
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


_CARRIED = (MetadataSection.CARRIED, MetadataSection.CARRIED_LENGTHS, MetadataSection.CARRIED_BLOCKS)
_DIGESTS = frozenset({IndexSection.STREAM_DIGESTS, IndexSection.ORIGINAL_DIGESTS})


@dataclass(frozen=True)
class Extent:
    """A part of the file."""

    at: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.at + self.length


@dataclass(frozen=True)
class StreamRow:
    """One stream. parents: numbers of earlier streams, of key members, that it refers to. quality: hundredths."""

    extent: Extent
    sha256: bytes
    model: str
    height: int
    width: int
    quality: int
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class MemberRow:
    """One member: a name, its stream's number, and the file that it was made from.

    modified: nanoseconds since 1970; mode: permission bits; 0 where there was no file. carried: items of EXIF, XMP and
    profile (`clc.codec.metadata_section.pack_items`).
    """

    name: str
    stream: int
    original_sha256: bytes
    original_bytes: int
    modified: int = 0
    mode: int = 0
    carried: bytes = b""


@dataclass(frozen=True, eq=False)
class Index:
    """What `parse_index` found; both tables as columns.

    parents: for each stream, where its own begin in `parent_numbers`; one more at the end.
    """

    metadata: Extent
    metadata_sha256: bytes
    stream_columns: dict[str, NDArray[Any]]
    ends: NDArray[np.uint64]
    parent_starts: NDArray[np.int64]
    parent_numbers: NDArray[np.uint32]
    stream_digests: bytes
    member_columns: dict[str, NDArray[Any]]
    original_digests: bytes
    models: tuple[str, ...]

    @cached_property
    def streams(self) -> int:
        """How many there are."""
        return len(self.ends)

    @cached_property
    def members(self) -> int:
        """How many there are."""
        return len(self.member_columns["stream"])

    def stream(self, number: int) -> StreamRow:
        """The stream of a number below `streams`."""
        columns = {name: int(column[number]) for name, column in self.stream_columns.items()}
        start, end = self.parent_starts[number : number + 2]
        return StreamRow(
            extent=Extent(int(self.ends[number]) - columns["length"], columns["length"]),
            sha256=self.stream_digests[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)],
            model=self.models[columns["model"]],
            height=columns["height"],
            width=columns["width"],
            quality=columns["quality"],
            parents=tuple(map(int, self.parent_numbers[start:end])),
        )


@dataclass(frozen=True, eq=False)
class Metadata:
    """What `parse_metadata` found, in the order of the members."""

    names: tuple[str, ...]
    times: NDArray[np.int64]
    modes: NDArray[np.uint16]
    carried: Carried


def pack_metadata(members: list[MemberRow]) -> bytes:
    """The metadata of all members, in their order."""
    sections: dict[int, bytes] = {
        MetadataSection.NAMES: b"".join(member.name.encode() + b"\0" for member in members),
        MetadataSection.TIMES: transposed(np.array([member.modified for member in members], np.int64), "<i8"),
        MetadataSection.MODES: transposed(np.array([member.mode for member in members], np.int64), "<u2"),
    }
    if carried := pack_carried([member.carried for member in members]):
        sections |= dict(zip(_CARRIED, carried, strict=True))
    return pack_sections(sections)


def parse_metadata(data: bytes, members: int) -> Metadata:
    """The inverse of `pack_metadata`. Raises ArchiveError for what is damaged, or a name that must not be."""
    sections = parse_sections(data, MetadataSection)
    named = _section(sections, MetadataSection.NAMES)
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
    return Metadata(
        names=tuple(each),
        times=_column(sections, MetadataSection.TIMES, "<i8", members).astype(np.int64),
        modes=_column(sections, MetadataSection.MODES, "<u2", members).astype(np.uint16),
        carried=Carried(members, *map(sections.get, _CARRIED)),
    )


def pack_index(streams: list[StreamRow], members: list[MemberRow], metadata: Extent, metadata_sha256: bytes) -> bytes:
    """The index of an archive; streams in the order in which they lie in it."""
    models = list(dict.fromkeys(stream.model for stream in streams))
    ends = np.array([HEADER_BYTES, *(stream.extent.end for stream in streams)], np.uint64)
    starts = np.array([stream.extent.at for stream in streams], np.uint64)
    columns = {
        "gap": starts - ends[:-1],
        "length": ends[1:] - starts,
        "height": np.array([stream.height for stream in streams], np.int64),
        "width": np.array([stream.width for stream in streams], np.int64),
        "quality": np.array([stream.quality for stream in streams], np.int64),
        "model": np.array([models.index(stream.model) for stream in streams], np.int64),
        "parents": np.array([len(stream.parents) for stream in streams], np.int64),
    }
    of_members = {
        "stream": np.array([member.stream for member in members], np.uint64),
        "original_bytes": np.array([member.original_bytes for member in members], np.uint64),
    }
    parents = np.array([parent for stream in streams for parent in stream.parents], np.int64)
    head = _HEAD.pack(len(streams), len(members), metadata.at, metadata.length, metadata_sha256)
    return head + pack_sections(
        {
            IndexSection.STREAMS: b"".join(transposed(columns[each], code) for each, code in _STREAM_COLUMNS.items()),
            IndexSection.PARENTS: transposed(parents, "<u4"),
            IndexSection.STREAM_DIGESTS: b"".join(stream.sha256 for stream in streams),
            IndexSection.MEMBERS: b"".join(
                transposed(of_members[each], code) for each, code in _MEMBER_COLUMNS.items()
            ),
            IndexSection.ORIGINAL_DIGESTS: b"".join(member.original_sha256 for member in members),
            IndexSection.MODELS: b"".join(map(bytes.fromhex, models)),
        },
        plain=_DIGESTS,
    )


def parse_index(data: bytes, at: int) -> Index:
    """The inverse of `pack_index`, for an index that lies at offset `at`, behind everything that it names.

    Raises ArchiveError for what is damaged, before anything is allocated that is larger than the index allows for.
    """
    if len(data) < _HEAD.size:
        raise ArchiveError("archive is damaged: its index is cut short")
    streams, members, metadata_at, metadata_bytes, metadata_sha256 = _HEAD.unpack_from(data)
    metadata = Extent(metadata_at, metadata_bytes)
    if metadata_at < HEADER_BYTES or metadata.end > at:
        raise ArchiveError("archive is damaged: its metadata lies outside of it")
    sections = parse_sections(data[_HEAD.size :], IndexSection)
    # Digests are not compressed: numbers of streams and members that they agree with fit the file.
    stream_digests = _digests(sections, IndexSection.STREAM_DIGESTS, streams)
    original_digests = _digests(sections, IndexSection.ORIGINAL_DIGESTS, members)
    models = _models(sections)
    columns = _columns(sections, IndexSection.STREAMS, _STREAM_COLUMNS, streams)
    of_members = _columns(sections, IndexSection.MEMBERS, _MEMBER_COLUMNS, members)
    if np.any(of_members["stream"] >= streams) or np.any(columns["model"] >= len(models)):
        raise ArchiveError("archive is damaged: a member names a stream, or a stream a model, that is not there")
    if np.any(columns["height"] == 0) or np.any(columns["width"] == 0):
        raise ArchiveError("archive is damaged: a picture has no pixels")
    ends = _ends(columns["gap"].astype(np.uint64), columns["length"].astype(np.uint64), metadata_at)
    starts, numbers = _parents(sections, columns["parents"].astype(np.int64))
    return Index(
        metadata, metadata_sha256, columns, ends, starts, numbers, stream_digests, of_members, original_digests, models
    )


def _ends(gaps: NDArray[np.uint64], lengths: NDArray[np.uint64], limit: int) -> NDArray[np.uint64]:
    ends = np.cumsum(gaps + lengths, dtype=np.uint64) + np.uint64(HEADER_BYTES)
    bounded = not len(ends) or (int(gaps.max()) <= limit and int(lengths.max()) <= limit and int(ends.max()) <= limit)
    if not bounded or np.any(ends[1:] < ends[:-1]):
        raise ArchiveError("archive is damaged: a stream lies outside of it")
    return ends


def _parents(sections: dict[int, Section], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    if np.any(counts > MAX_PARENTS):
        raise ArchiveError(f"archive is damaged: a stream refers to more than {MAX_PARENTS} key members")
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    numbers = _column(sections, IndexSection.PARENTS, "<u4", int(starts[-1])).astype(np.uint32)
    children = np.repeat(np.arange(len(counts)), counts)
    if np.any(numbers >= children):
        raise ArchiveError("archive is damaged: a stream refers to one that does not come before it")
    if np.any(counts[numbers] > 0):
        raise ArchiveError("archive is damaged: a stream refers to one that refers to others itself")
    pairs = np.stack([children, numbers.astype(np.int64)], axis=1)
    if len(np.unique(pairs, axis=0)) < len(pairs):
        raise ArchiveError("archive is damaged: a stream refers to the same one twice")
    return starts, numbers


def _section(sections: dict[int, Section], kind: IndexSection | MetadataSection) -> Section:
    try:
        return sections[kind]
    except KeyError:
        raise ArchiveError(f"archive is damaged: it has no section {kind.name.lower()}") from None


def _digests(sections: dict[int, Section], kind: IndexSection, count: int) -> bytes:
    section = _section(sections, kind)
    if section.method != 0:
        raise ArchiveError("archive is damaged: its digests are compressed")
    return section.content(kind.name.lower(), expected=DIGEST_BYTES * count)


def _models(sections: dict[int, Section]) -> tuple[str, ...]:
    section = _section(sections, IndexSection.MODELS)
    if section.size > 256 * MODEL_BYTES or section.size % MODEL_BYTES:
        raise ArchiveError(f"section models has {section.size:,} bytes")
    content = section.content("models")
    return tuple(content[start : start + MODEL_BYTES].hex() for start in range(0, len(content), MODEL_BYTES))


def _column(sections: dict[int, Section], kind: IndexSection | MetadataSection, code: str, count: int) -> NDArray[Any]:
    content = _section(sections, kind).content(kind.name.lower(), expected=np.dtype(code).itemsize * count)
    return restored(content, code)


def _columns(
    sections: dict[int, Section], kind: IndexSection, codes: dict[str, str], count: int
) -> dict[str, NDArray[Any]]:
    widths = {name: np.dtype(code).itemsize * count for name, code in codes.items()}
    content = _section(sections, kind).content(kind.name.lower(), expected=sum(widths.values()))
    columns, position = {}, 0
    for name, code in codes.items():
        columns[name] = restored(content[position : position + widths[name]], code)
        position += widths[name]
    return columns


def sha256(data: bytes) -> bytes:
    """Its 32 bytes."""
    return hashlib.sha256(data).digest()
