"""Writing a `.clca` archive in one pass, and adding to one that is there (docs/archive.md)."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from clc.archive.archive_index import pack_index
from clc.archive.byte_ranges import LocalFile
from clc.archive.container import ArchiveReader
from clc.archive.contents import (
    MAX_COUNT,
    MAX_MODELS,
    MAX_PARENTS,
    STREAM_DIGEST_BYTES,
    Extent,
    Form,
    MemberRow,
    OriginalRow,
    StreamRow,
    sha256,
)
from clc.archive.framing import INDEX_DIGEST_BYTES, WORK_KEY_BYTES, Footer, Label, RecordHead, RecordKind, header
from clc.archive.names import check_name, printable
from clc.codec.bitstream import Bitstream
from clc.errors import ArchiveError
from clc.model.limits import QUALITY_STEPS


class ArchiveWriter:
    """Writes records to a file as they come, then the index and a footer. It never seeks.

    archive: what the file holds already, to whose members others are added; None for a new file.
    at: how many bytes are in the file, which is where the next go.
    Methods raise OSError if the file cannot be written.
    """

    def __init__(self, file: BinaryIO, archive: ArchiveReader | None = None, at: int = 0) -> None:
        self._file = file
        self._at = at
        self._streams: list[StreamRow] = []
        self._members: list[MemberRow] = []
        if archive is not None:
            self._streams = [archive.index.stream(number) for number in range(archive.index.streams)]
            self._members = [member for member, _ in archive.members()]
        self._names = {member.name for member in self._members}
        self._numbers = {row.extent.at: number for number, row in enumerate(self._streams)}  # by where they lie
        self._models = {stream.model for stream in self._streams}
        self._settings = b""
        if at == 0:
            self._write(header())

    def begin(self, settings: bytes) -> None:
        """Say with what the streams are made that come now, if any do, so that who goes on with them knows.

        settings: of which the first 8 bytes are written.
        """
        self._settings = settings[:WORK_KEY_BYTES]

    @property
    def size(self) -> int:
        """Bytes in the file so far."""
        return self._at

    @property
    def members(self) -> int:
        """How many there are so far."""
        return len(self._members)

    def add_stream(self, stream: bytes, label: Label, parents: tuple[int, ...] = ()) -> int:
        """Write a `.clc` stream; its number.

        parents: numbers of the key members' streams that it refers to.
        Raises BitstreamError if it is none, ArchiveError for parents that may not be.
        """
        row = self._row(stream, Extent(0, 0), parents)  # refused before anything is written
        label = replace(label, keys=tuple(self._streams[parent].extent.at for parent in parents))
        self._begin_record(label, len(stream))
        number = self._take(replace(row, extent=Extent(self._at, len(stream))))
        self._write(stream)
        return number

    def adopt_stream(self, stream: bytes, at: int, keys: tuple[int, ...] = ()) -> int:
        """Take in a stream that is in the file already; its number until `close`.

        keys: where the streams lie that it refers to, which are in the archive. Raises as `add_stream`.
        """
        if not self._numbers.keys() >= set(keys):
            raise ArchiveError("a photo refers to key photos that are not in the archive")
        row = self._row(stream, Extent(at, len(stream)), tuple(self._numbers[each] for each in keys))
        return self._take(row)

    def has_streams(self, keys: tuple[int, ...]) -> bool:
        """Whether streams lie at all of these offsets that are in the archive."""
        return self._numbers.keys() >= set(keys)

    def _take(self, row: StreamRow) -> int:
        number = len(self._streams)
        self._streams.append(row)
        self._numbers[row.extent.at] = number
        return number

    def add_original(self, method: int, stored: bytes, work: bytes, name: str) -> OriginalRow:
        """Write the original file of a member; where it lies. work: first bytes of the SHA-256 of the file."""
        label = work[:WORK_KEY_BYTES] + bytes([method]) + name.encode()
        self._write(RecordHead(RecordKind.ORIGINAL, label, len(stored)).pack())
        row = OriginalRow(Extent(self._at, len(stored)), method, sha256(stored)[:STREAM_DIGEST_BYTES])
        self._write(stored)
        return row

    def add_member(self, member: MemberRow, label: Label | None = None) -> None:
        """Give a stream a name.

        label: where it is another name for a stream that has one; written so that it is found without the index.
        Raises ArchiveError for a name that is taken or must not be.
        """
        check_name(member.name)
        if member.name in self._names:
            raise ArchiveError(f"the archive has a member called {printable(member.name)} already; rename the file")
        if len(self._members) == MAX_COUNT:
            raise ArchiveError(f"an archive has at most {MAX_COUNT:,} members; start another")
        if label is not None:
            label = replace(label, same=self._streams[member.stream].extent.at)
            self._begin_record(label, 0)
        self._names.add(member.name)
        self._members.append(member)

    def close(self) -> None:
        """Write index and footer: from here on, the file is an archive with these members."""
        self._sort()
        index = pack_index(self._streams, self._members)
        self._write(RecordHead(RecordKind.INDEX, b"", len(index)).pack())
        at = self._at
        self._write(index)
        self._file.flush()
        self._sync()  # the footer must not be on the disk before what it vouches for
        self._write(Footer(self._at, at, len(index), sha256(index)[:INDEX_DIGEST_BYTES]).pack())
        self._file.flush()
        self._sync()

    def _sort(self) -> None:
        """Number the streams in the order in which they lie in the file, which adopted ones may be out of."""
        order = sorted(range(len(self._streams)), key=lambda number: self._streams[number].extent.at)
        if order == list(range(len(order))):
            return
        new = {old: number for number, old in enumerate(order)}
        rows = (self._streams[old] for old in order)
        self._streams = [replace(row, parents=tuple(new[parent] for parent in row.parents)) for row in rows]
        self._members = [replace(member, stream=new[member.stream]) for member in self._members]

    def _begin_record(self, label: Label, length: int) -> None:
        if self._settings:
            self._write(RecordHead(RecordKind.SETTINGS, self._settings, 0).pack())
            self._settings = b""
        self._write(RecordHead(label.kind, label.pack(), length).pack())

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._at += len(data)

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except io.UnsupportedOperation:
            pass  # no file of the system's
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise

    def _row(self, stream: bytes, extent: Extent, parents: tuple[int, ...]) -> StreamRow:
        if len(parents) > MAX_PARENTS or len(set(parents)) < len(parents):
            raise ArchiveError(f"a photo refers to at most {MAX_PARENTS} key photos, each once")
        for parent in parents:
            if not 0 <= parent < len(self._streams) or self._streams[parent].parents:
                raise ArchiveError("a photo refers to key photos only, which are written before it and refer to none")
        parsed = Bitstream.from_bytes(stream)
        head = parsed.header
        self._models.add(head.model_id)
        if len(self._models) > MAX_MODELS:
            raise ArchiveError(f"an archive names at most {MAX_MODELS} models; start another")
        return StreamRow(
            extent=extent,
            digest=sha256(stream)[:STREAM_DIGEST_BYTES],
            model=head.model_id,
            height=head.height,
            width=head.width,
            quality=round(head.quality * QUALITY_STEPS),
            parents=parents,
            form=Form.LOSSY if parsed.picture is None else Form.LOSSLESS,
        )


_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)  # a pipe, a device


@contextmanager
def locked(path: Path, *, create: bool = False) -> Iterator[BinaryIO]:
    """A file opened to append to, which nobody else appends to meanwhile; the lock ends with the process.

    Raises ArchiveError if somebody does, if it cannot be opened, or where there are no such locks: on Windows.
    """
    try:
        import fcntl
    except ImportError as error:
        raise ArchiveError(
            "archives cannot be written on Windows, which lacks flock; use Linux, macOS or WSL"
        ) from error
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be written: {error.strerror or error}") from error
    with os.fdopen(descriptor, "r+b", buffering=0) as raw:
        try:
            fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArchiveError(f"{path}: another process is writing to it; wait for it, then try again") from error
        yield cast(BinaryIO, _WholeWrites(raw))


class _WholeWrites:
    """An unbuffered file whose `write` writes everything: what is written is in the file, also if we are killed."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[self._raw.write(rest) or 0 :]
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def fileno(self) -> int:
        return self._raw.fileno()

    def tell(self) -> int:
        """Where the file ends, which is where the next bytes go."""
        return os.fstat(self._raw.fileno()).st_size

    def truncate(self, size: int) -> None:
        self._raw.truncate(size)


def open_archive(path: Path) -> ArchiveReader:
    """A local archive. Raises ArchiveError if it cannot be read."""
    return ArchiveReader(LocalFile(path))
