"""What an archive holds: which streams there are, and which members show them.

Everything is columns, so that a million members take no million objects.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clc.archive.carried import Carried
from clc.archive.framing import HEADER_BYTES
from clc.archive.names import printable
from clc.errors import ArchiveError

MAX_PARENTS = 5
"""Key members that a member may refer to."""
MAX_COUNT = 2**32 - 1
MAX_MODELS = 256
ORIGINAL_DIGEST_BYTES = 32
STREAM_DIGEST_BYTES = 16
MODEL_BYTES = 8

Numbers = NDArray[np.int64]


class Form(IntEnum):
    """Whether a photo comes back as it was."""

    UNKNOWN = 0  # packed by a release that did not say
    LOSSY = 1
    LOSSLESS = 2


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
    """One stream. parents: numbers of earlier streams, of key members, that it refers to. quality: hundredths.

    digest: the first 16 bytes of its SHA-256; all of them in format version 1.
    """

    extent: Extent
    digest: bytes
    model: str
    height: int
    width: int
    quality: int
    parents: tuple[int, ...] = ()
    form: Form = Form.LOSSY


@dataclass(frozen=True)
class OriginalRow:
    """An original file that is kept. method: how it is stored. digest: the first 16 bytes of the SHA-256 of that."""

    extent: Extent
    method: int
    digest: bytes


class KeptOriginals(Protocol):
    """Where the originals of members lie."""

    def __getitem__(self, member: int) -> OriginalRow | None: ...


@dataclass(frozen=True)
class MemberRow:
    """One member: a name, its stream's number, and the file that it was made from.

    modified: nanoseconds since 1970; mode: permission bits; 0 where there was no file. carried: items of EXIF, XMP and
    profile (`clc.codec.metadata_section.pack_items`). original: the file itself, if it is kept.
    """

    name: str
    stream: int
    original_sha256: bytes
    original_bytes: int
    modified: int = 0
    mode: int = 0
    carried: bytes = b""
    original: OriginalRow | None = None


@dataclass(frozen=True, eq=False)
class Index:
    """Streams and members as columns, each as long as there are streams or members.

    of_streams: length, height, width, quality, model, form. ends: where each stream ends in the file.
    parent_starts: for each stream, where its own begin in `parent_numbers`; one more at the end.
    of_members: stream, original_bytes, modified, mode. parts: bytes in the file of what the index consists of.
    """

    of_streams: Mapping[str, Numbers]
    ends: Numbers
    parent_starts: Numbers
    parent_numbers: Numbers
    stream_digests: bytes
    of_members: Mapping[str, Numbers]
    original_digests: bytes
    names: tuple[str, ...]
    models: tuple[str, ...]
    carried: Carried
    originals: KeptOriginals
    parts: Mapping[str, int]

    @cached_property
    def streams(self) -> int:
        """How many there are."""
        return len(self.ends)

    @cached_property
    def members(self) -> int:
        """How many there are."""
        return len(self.names)

    def stream(self, number: int) -> StreamRow:
        """The stream of a number below `streams`."""
        columns = {name: int(column[number]) for name, column in self.of_streams.items()}
        start, end = self.parent_starts[number : number + 2]
        size = len(self.stream_digests) // self.streams
        return StreamRow(
            extent=Extent(int(self.ends[number]) - columns["length"], columns["length"]),
            digest=self.stream_digests[size * number : size * (number + 1)],
            model=self.models[columns["model"]],
            height=columns["height"],
            width=columns["width"],
            quality=columns["quality"],
            parents=tuple(map(int, self.parent_numbers[start:end])),
            form=Form(columns["form"]),
        )

    def member(self, number: int) -> MemberRow:
        """The member of a number below `members`."""
        columns = {name: int(column[number]) for name, column in self.of_members.items()}
        start = ORIGINAL_DIGEST_BYTES * number
        return MemberRow(
            name=self.names[number],
            stream=columns["stream"],
            original_sha256=self.original_digests[start : start + ORIGINAL_DIGEST_BYTES],
            original_bytes=columns["original_bytes"],
            modified=columns["modified"],
            mode=columns["mode"],
            carried=self.carried[number],
            original=self.originals[number],
        )


# The least and the greatest that a number may be; of lengths and gaps, `stream_ends` knows more.
_RANGES = {
    "length": (0, 2**63 - 1),
    "height": (1, 2**16 - 1),
    "width": (1, 2**16 - 1),
    "quality": (0, 2**16 - 1),
    "form": (min(Form), max(Form)),
    "original_bytes": (0, 2**63 - 1),
    "mode": (0, 2**16 - 1),
}


def check_columns(columns: Mapping[str, Numbers], *, streams: int, models: int) -> None:
    """Raises ArchiveError for a number out of range. streams, models: how many there are."""
    ranges = _RANGES | {"stream": (0, streams - 1), "model": (0, models - 1)}
    for name, column in columns.items():
        least, most = ranges.get(name, (-(2**63), 2**63 - 1))
        if np.any((column < least) | (column > most)):
            if name in ("stream", "model"):
                raise ArchiveError(
                    "archive is damaged: a member names a stream, or a stream a model, that is not there"
                )
            what = "a picture has no pixels" if least == 1 else f"its column {name} has a number out of range"
            raise ArchiveError(f"archive is damaged: {what}")


def stream_ends(gaps: Numbers, lengths: Numbers, limit: int) -> Numbers:
    """Where each stream ends: behind all before it. Raises ArchiveError if that is behind `limit`."""
    if np.any((gaps < 0) | (gaps > limit) | (lengths < 0) | (lengths > limit)):
        raise ArchiveError("archive is damaged: a stream lies outside of it")
    ends = np.cumsum((gaps + lengths).astype(np.uint64), dtype=np.uint64) + np.uint64(HEADER_BYTES)
    if len(ends) and (int(ends.max()) > limit or np.any(ends[1:] < ends[:-1])):
        raise ArchiveError("archive is damaged: a stream lies outside of it")
    return ends.astype(np.int64)


def parent_starts(counts: Numbers) -> Numbers:
    """Where the parents of each stream begin among all. Raises ArchiveError for too many of one."""
    if np.any((counts < 0) | (counts > MAX_PARENTS)):
        raise ArchiveError(f"archive is damaged: a stream refers to more than {MAX_PARENTS} key members")
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def check_parents(counts: Numbers, numbers: Numbers, name: Callable[[int], str]) -> None:
    """Raises ArchiveError, which names a member, unless parents come before it, each once, and have none themselves.

    name: what a stream is called.
    """
    children = np.repeat(np.arange(len(counts)), counts)

    def refuse(wrong: NDArray[np.bool_], what: str) -> None:
        if np.any(wrong):
            raise ArchiveError(f"archive is damaged: {name(int(children[np.argmax(wrong)]))} refers to {what}")

    refuse((numbers < 0) | (numbers >= children), "a stream that does not come before it")
    refuse(counts[numbers] > 0, "one that refers to others itself")
    order = np.lexsort((numbers, children))
    again = np.zeros(len(numbers), bool)
    again[order[1:]] = (np.diff(children[order]) == 0) & (np.diff(numbers[order]) == 0)
    refuse(again, "the same one twice")


def stream_name(streams: Numbers, names: tuple[str, ...]) -> Callable[[int], str]:
    """What to call a stream: as the first member that shows it. streams: of the members of these names."""

    def named(stream: int) -> str:
        shown = np.flatnonzero(streams == stream)
        return printable(names[shown[0]]) if len(shown) else f"stream {stream}, which no member shows,"

    return named


def sha256(data: bytes) -> bytes:
    """Its 32 bytes."""
    return hashlib.sha256(data).digest()
