"""Unpack a downloaded archive without trusting it.

An archive names its own paths and claims its own sizes. Both are checked here: names before anything is written,
sizes by counting the bytes that actually come out.
"""

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple, Self

from clc.errors import BadDownloadError

_CHUNK = 1 << 20
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # the second: a zip without members
_TAR_COMPRESSIONS = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\x00": lzma.LZMAFile}


def extract_archive(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int = 100 * 2**30,
    max_files: int = 500_000,
    max_ratio: float = 200,
) -> None:
    """Unpack a zip or tar (plain, gzip, bzip2, xz) into `folder`, which must not exist yet: all of it or nothing.

    Refused, with BadDownloadError: absolute names and names with `..`; links, devices and sparse files; two names that
    collide, also on a file system that ignores case; encrypted members; more than `max_files` members, `max_bytes`
    bytes, or `max_ratio` times the archive's size; anything damaged or truncated. Permissions, owners and times are
    not restored.
    """
    if folder.exists():
        raise BadDownloadError(f"{folder} exists already; remove it to unpack {archive} again")
    try:
        with archive.open("rb") as file:
            start = file.read(6)
        meter = _Meter(archive, min(max_bytes, int(archive.stat().st_size * max_ratio)))
        members = _zip_members(archive, meter) if start.startswith(_ZIP_STARTS) else _tar_members(archive, start, meter)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            unfinished = Path(temporary) / folder.name
            unfinished.mkdir()
            _write(members, unfinished, _Names(archive, max_files))
            unfinished.rename(folder)
    except BadDownloadError:
        raise
    except (
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
        ValueError,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise BadDownloadError(f"{archive}: cannot be unpacked: {error}") from error


class _Member(NamedTuple):
    name: str
    size: int
    content: IO[bytes] | None  # None: a folder


class _Meter:
    """Counts the bytes that come out of an archive's decompressor, and stops at the limit."""

    def __init__(self, archive: Path, limit: int) -> None:
        self.archive = archive
        self.left = limit

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise BadDownloadError(
                f"{self.archive}: unpacks to more than its size or the limit allows; refused as a bomb"
            )


class _MeteredStream:
    """What zipfile and tarfile need of a file, with every byte counted."""

    def __init__(self, stream: IO[bytes], meter: _Meter) -> None:
        self.stream = stream
        self.meter = meter

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.meter.spend(len(data))
        return data


class _Names:
    """The names that an archive has used so far."""

    def __init__(self, archive: Path, max_files: int) -> None:
        self.archive = archive
        self.left = max_files
        self.used: dict[str, tuple[str, bool]] = {}

    def claim(self, member: _Member) -> PurePosixPath:
        """The member's path, relative and inside the archive. Raises BadDownloadError if it is neither, or taken."""
        self.left -= 1
        if self.left < 0:
            raise BadDownloadError(f"{self.archive}: has more members than the limit allows")
        path, windows = PurePosixPath(member.name), PureWindowsPath(member.name)
        if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            raise BadDownloadError(f"{self.archive}: the member {member.name!r} points outside the archive")
        for parent in path.parents:
            self._claim(parent, is_folder=True)
        self._claim(path, is_folder=member.content is None)
        return path

    def _claim(self, path: PurePosixPath, *, is_folder: bool) -> None:
        canonical = unicodedata.normalize("NFC", str(path)).casefold()
        owner = self.used.setdefault(canonical, claim := (str(path), is_folder))
        # Only a folder may come again, and only under the very same name.
        if owner is not claim and not (is_folder and owner == claim):
            raise BadDownloadError(f"{self.archive}: the names {owner[0]!r} and {claim[0]!r} collide")


def _write(members: Iterator[_Member], folder: Path, names: _Names) -> None:
    for member in members:
        path = folder / names.claim(member)
        if member.content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(member.content, file, _CHUNK)
            if file.tell() != member.size:
                raise BadDownloadError(f"{names.archive}: the member {member.name!r} is truncated")


def _zip_members(archive: Path, meter: _Meter) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadDownloadError(f"{archive}: the member {info.filename!r} is a link or a device")
            if info.is_dir():
                yield _Member(info.filename, 0, None)
                continue
            with zipped.open(info) as stream:
                yield _Member(info.filename, info.file_size, _MeteredStream(stream, meter))  # type: ignore[arg-type]


def _tar_members(archive: Path, start: bytes, meter: _Meter) -> Iterator[_Member]:
    open_stream = next((opener for magic, opener in _TAR_COMPRESSIONS.items() if start.startswith(magic)), open)
    with open_stream(archive, "rb") as stream:  # type: ignore[operator]
        # The stream is metered below tarfile: a header can be a bomb as well as a file.
        metered = _MeteredStream(stream, meter)
        with tarfile.open(fileobj=metered, mode="r|", tarinfo=_CheckedHeader) as tar:  # type: ignore[call-overload]
            for member in tar:
                if member.isdir():
                    yield _Member(member.name, 0, None)
                elif member.isreg() and not member.issparse():  # sparse files write more than is read
                    yield _Member(member.name, member.size, tar.extractfile(member))
                else:
                    raise BadDownloadError(f"{archive}: the member {member.name!r} is a link, a device or sparse")


class _CheckedHeader(tarfile.TarInfo):
    """A tar header that must be sound: tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(tarfile.BLOCKSIZE):  # the end marker
                raise
            raise BadDownloadError("not a tar archive, or damaged or truncated") from error
