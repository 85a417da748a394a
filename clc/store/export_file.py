"""Export files: an uncompressed tar of store paths, written the same way every time and read with distrust.

`export.json` is the first member and names every version in the file; the others have the paths that they have in a
store. The reader takes nothing else: no link, no directory, no name twice, no byte after the end.
"""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self, cast

from pydantic import BaseModel, Field, ValidationError

from clc.errors import CorruptArtifactError, StoreError
from clc.store.manifest import Reference

ARCHIVE_FORMAT_VERSION = 1
CONTENTS_NAME = "export.json"

_METADATA_BYTES = 64 << 20  # export.json and manifests: nothing else bounds them before they are parsed
_EXTENDED_HEADER_BYTES = 1 << 16
_CHUNK = 1 << 20


class ArchiveContents(BaseModel, frozen=True, extra="forbid"):
    """What `export.json` says: the version that was exported, and it with its ancestors, sorted.

    >>> root = Reference(kind="model", id="0" * 64)
    >>> contents = ArchiveContents(root=root, versions=(root,))
    >>> ArchiveContents.model_validate_json(contents.model_dump_json()) == contents
    True
    """

    format_version: int = Field(default=ARCHIVE_FORMAT_VERSION, ge=1)
    root: Reference
    versions: tuple[Reference, ...]


class ArchiveWriter:
    """Appends members; equal members in equal order make equal bytes."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, size: int, data: BinaryIO) -> None:
        """Append a member of `size` bytes. Raises OSError if `data` has fewer or the disk is full."""
        header = tarfile.TarInfo(name)  # owner 0, time 0: nothing of this machine or this moment
        header.size = size
        header.mode = 0o644
        self._tar.addfile(header, data)


@contextmanager
def write_archive(file: BinaryIO) -> Iterator[ArchiveWriter]:
    """Yield a writer into an open file, which is complete when the block ends without an exception.

    Raises OSError if the file cannot be written.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        yield ArchiveWriter(tar)


class ArchiveReader:
    """The members of an export file, checked as a tar; `read_archive` opens one."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path = path
        self._tar = tar
        self._members: dict[str, tarfile.TarInfo] = {}
        for member in tar:
            self._check(member)
            self._members[member.name] = member
        self._check_end()
        self.contents = self._read_contents()

    @property
    def names(self) -> set[str]:
        """The names of all members but `export.json`."""
        return self._members.keys() - {CONTENTS_NAME}

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return self._members[name].size

    def read(self, name: str) -> bytes:
        """Return a small member. Raises CorruptArtifactError if there is none or it is not small."""
        if name not in self._members:
            raise self.damaged(name, "is missing")
        if self.size(name) > _METADATA_BYTES:
            raise self.damaged(name, f"has {self.size(name)} bytes, more than the {_METADATA_BYTES} allowed")
        with self._opened(name) as member:
            return member.read()

    def copy(self, name: str, target: Path) -> None:
        """Write a member to a local file. Raises OSError if that fails."""
        with self._opened(name) as member, target.open("xb") as file:
            while chunk := member.read(_CHUNK):
                file.write(chunk)

    def damaged(self, name: str, what: str) -> CorruptArtifactError:
        """Return the error that names a member and what is wrong with it."""
        return _refused(self._path, f"its member {name!r} {what}")

    @contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        member = self._tar.extractfile(self._members[name])
        assert member is not None, "only regular files are members"
        with member:
            yield cast(BinaryIO, member)

    def _check(self, member: tarfile.TarInfo) -> None:
        # Sparse members count as regular files for tarfile, and can claim any size.
        if member.type != tarfile.REGTYPE or member.sparse is not None:
            raise self.damaged(member.name, f"is {_type_name(member)}, not a regular file")
        if member.name in self._members:
            raise self.damaged(member.name, "is there twice")
        if not self._members and member.name != CONTENTS_NAME:
            raise self.damaged(member.name, f"comes first, where {CONTENTS_NAME} belongs")
        if not 0 <= member.size <= os.path.getsize(self._path) - member.offset_data:
            raise self.damaged(member.name, "is cut off")

    def _check_end(self) -> None:
        """Whatever was cut off or appended shows here: the length follows from the last member."""
        last = max(self._members.values(), key=lambda member: member.offset_data, default=None)
        if last is None:
            raise _refused(self._path, "it is empty")
        end = last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        length = -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
        size = os.path.getsize(self._path)
        if size != length:
            raise _refused(self._path, f"it has {size} bytes, its members take {length}")
        with self._path.open("rb") as file:
            file.seek(end)
            if any(file.read()):
                raise _refused(self._path, f"something follows its last member {last.name!r}")

    def _read_contents(self) -> ArchiveContents:
        try:
            contents = ArchiveContents.model_validate_json(self.read(CONTENTS_NAME))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise self.damaged(CONTENTS_NAME, f"does not say what it holds ({where}: {first['msg']})") from error
        if contents.format_version > ARCHIVE_FORMAT_VERSION:
            raise StoreError(
                f"{self._path} has format version {contents.format_version}, this clc reads up to "
                f"{ARCHIVE_FORMAT_VERSION}: upgrade clc"
            )
        return contents


@contextmanager
def read_archive(path: Path) -> Iterator[ArchiveReader]:
    """Yield a reader of an export file whose members are all sound as members.

    Raises CorruptArtifactError if it is not such a file, StoreError if it cannot be read or is of a newer format.
    """
    try:
        with tarfile.open(path, "r:", tarinfo=_SoundHeader) as tar:
            yield _reader(path, tar)
    except (tarfile.TarError, _UnsoundHeaderError) as error:
        raise _refused(path, f"it is no tar file, or a damaged one ({error})") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _reader(path: Path, tar: tarfile.TarFile) -> ArchiveReader:
    try:
        return ArchiveReader(path, tar)
    except (ValueError, ArithmeticError, LookupError, RecursionError) as error:  # tarfile on made-up extended headers
        raise _refused(path, f"its headers are damaged ({error})") from error


class _UnsoundHeaderError(Exception):
    """A tar header that tarfile would take for the end of the archive, or follow without bounds."""


class _SoundHeader(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):  # the end marker
                raise
            raise _UnsoundHeaderError(str(error)) from error
        extended = header.type not in tarfile.REGULAR_TYPES
        # tarfile reads extended headers into memory, and goes backwards, for ever, if a size is negative.
        if header.size < 0 or (extended and header.size > _EXTENDED_HEADER_BYTES):
            raise _UnsoundHeaderError(f"header of {header.name!r} with size {header.size}")
        return header


def _type_name(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {member.linkname!r}"
    return "a directory" if member.isdir() else "a device, a pipe or of another special type"


def _refused(path: Path, what: str) -> CorruptArtifactError:
    return CorruptArtifactError(f"{path} is not imported: {what}; export the version again, or copy the file again")
