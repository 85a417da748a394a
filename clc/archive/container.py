"""Reading a `.clca` archive: footer → index → member, by ranges of bytes (docs/archive.md)."""

from collections.abc import Iterator
from itertools import chain, islice

from clc.archive import first_framing
from clc.archive.archive_index import parse_index
from clc.archive.byte_ranges import ByteRanges
from clc.archive.contents import Index, MemberRow, StreamRow, sha256
from clc.archive.first_tables import metadata_of, parse_tables
from clc.archive.framing import (
    FOOTER_BYTES,
    FOOTER_MARK,
    HEADER_BYTES,
    MAX_FOOTER_BYTES,
    Footer,
    check_header,
    parse_footer,
)
from clc.archive.names import printable
from clc.archive.originals import unpack_original
from clc.errors import ArchiveError

_TAIL_BYTES = 2**16  # what is read first: footer, and often all of index and metadata
_MOST_FOOTERS = 100  # that are tried: each costs a look at its index
_WINDOW_BYTES = 2**20  # what is looked through at a time for a footer further in front


class ArchiveReader:
    """The index of an archive and its streams, checked but not decoded.

    torn: bytes behind the last footer, where adding to it was interrupted, or where it was damaged; 0 in a sound one.
    Raises ArchiveError, here and in all methods, for what is malformed, cut short or damaged. Threads may share one.
    """

    def __init__(self, source: ByteRanges) -> None:
        self.source = source
        try:
            check_header(source.read(0, HEADER_BYTES))
            self.footer, self.index = self._open()
        except ArchiveError as error:
            raise _named(source.name, error) from error
        self.torn = source.size - self.footer.end
        self._numbers = {name: number for number, name in enumerate(self.names)}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the members, in the order in which they were packed."""
        return self.index.names

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def member(self, name: str) -> MemberRow:
        """What the archive knows of a member. Raises KeyError if it has none of that name."""
        return self.index.member(self._numbers[name])

    def stream_row(self, name: str) -> StreamRow:
        """Where the stream of a member lies, and what it is. Raises KeyError if there is no such member."""
        return self.index.stream(int(self.index.of_members["stream"][self._numbers[name]]))

    def members(self) -> Iterator[tuple[MemberRow, StreamRow]]:
        """All of them, in the order in which they were packed."""
        for name in self.names:
            yield self.member(name), self.stream_row(name)

    def stream(self, row: StreamRow, name: str = "a key member") -> bytes:
        """The bytes of a stream, as its hash says. Raises ArchiveError, which names it, if they are others."""
        data = self.source.read(row.extent.at, row.extent.length)
        if not _is_whole(data, row):
            raise ArchiveError(
                f"{self.source.name}: {printable(name)} is damaged: its bytes are not those that were packed; "
                "`clc unpack --salvage` recovers what is whole"
            )
        return data

    def is_sound(self, row: StreamRow) -> bool:
        """Whether the bytes of a stream are there, and what its hash says."""
        try:
            return _is_whole(self.source.read(row.extent.at, row.extent.length), row)
        except ArchiveError:
            return False

    def streams(self, name: str) -> tuple[bytes, list[bytes]]:
        """The stream of a member, and those of the key members that it refers to, in order."""
        row = self.stream_row(name)
        keys = [self.stream(self.index.stream(number), f"what {name} refers to") for number in row.parents]
        return self.stream(row, name), keys

    def stored_original(self, name: str) -> bytes:
        """The original of a member as it is stored. Raises ArchiveError if it is not kept, or damaged."""
        row = self.member(name).original
        if row is None:
            raise ArchiveError(
                f"{self.source.name}: {printable(name)}: its original is not kept; `clc unpack` decodes it"
            )
        stored = self.source.read(row.extent.at, row.extent.length)
        if sha256(stored)[: len(row.digest)] != row.digest:
            raise ArchiveError(
                f"{self.source.name}: {printable(name)}: its original is damaged; `clc unpack` decodes it"
            )
        return stored

    def original(self, name: str) -> bytes:
        """The file that a member was made from, to the byte, as its SHA-256 says.

        Raises ArchiveError if it is not kept, or damaged; ModuleNotFoundError if what transcodes it is not installed.
        """
        member, stored = self.member(name), self.stored_original(name)
        assert member.original is not None, "it is stored"
        try:
            return unpack_original(member.original.method, stored, member.original_bytes, member.original_sha256)
        except ArchiveError as error:
            raise ArchiveError(f"{self.source.name}: {printable(name)}: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self.source.close()

    def _open(self) -> tuple[Footer, Index]:
        """The last footer whose index is whole, and that; the first place to look is the very end."""
        start = max(HEADER_BYTES, self.source.size - _TAIL_BYTES)
        tail = _Tail(self.source, start, self.source.read(start, self.source.size - start))
        at_the_end = [
            footer
            for size in (FOOTER_BYTES, first_framing.FOOTER_BYTES)
            if (at := self.source.size - size) >= HEADER_BYTES
            and (footer := parse_footer(tail.read(at, size), at))
            and footer.end == self.source.size
        ]
        failure = ArchiveError("archive is cut short or damaged: it has no whole index")
        for footer in chain(at_the_end, islice(footers_backwards(self.source), _MOST_FOOTERS)):
            try:
                return footer, _tables(footer, tail)
            except ArchiveError as error:
                failure = error
        raise ArchiveError(f"{failure}; `clc unpack --salvage` recovers what is whole")


class _Tail:
    """The end of the archive, which is here already, before what has to be read."""

    def __init__(self, source: ByteRanges, start: int, data: bytes) -> None:
        self._source, self._start, self._data = source, start, data

    def read(self, at: int, length: int) -> bytes:
        if at >= self._start:
            return self._data[at - self._start : at - self._start + length]
        return self._source.read(at, length)


def _tables(footer: Footer, tail: _Tail) -> Index:
    packed = tail.read(footer.index_at, footer.index_bytes)
    if sha256(packed)[: len(footer.index_digest)] != footer.index_digest:
        raise ArchiveError("archive is damaged: its index is not the one that was written")
    if footer.version > first_framing.VERSION:
        return parse_index(packed, footer.index_at)
    metadata, digest = metadata_of(packed, footer.index_at)
    described = tail.read(metadata.at, metadata.length)
    if sha256(described) != digest:
        raise ArchiveError("archive is damaged: its metadata is not what was written")
    return parse_tables(packed, described)


def footers_backwards(source: ByteRanges) -> Iterator[Footer]:
    """Every footer of an archive, the last one first, found by its mark; whether its index is whole is not looked at.

    No more of the archive is in memory than one window of it.
    """
    end = source.size
    while end > HEADER_BYTES:
        start = max(HEADER_BYTES, end - _WINDOW_BYTES)
        window = source.read(start, end - start + MAX_FOOTER_BYTES - 1)
        position = window.rfind(FOOTER_MARK, 0, end - start + len(FOOTER_MARK) - 1)
        while position >= 0:
            footer = parse_footer(window[position : position + MAX_FOOTER_BYTES], start + position)
            if footer is not None:
                yield footer
            position = window.rfind(FOOTER_MARK, 0, position + len(FOOTER_MARK) - 1)
        end = start


def _named(name: str, error: ArchiveError) -> ArchiveError:
    return ArchiveError(f"{name}: {error}")


def _is_whole(data: bytes, row: StreamRow) -> bool:
    return sha256(data)[: len(row.digest)] == row.digest
