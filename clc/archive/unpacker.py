"""Members of an archive back to picture files, in a folder that nothing leaves."""

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clc.archive.album import StreamDecoder
from clc.archive.byte_ranges import ByteRanges
from clc.archive.container import ArchiveReader
from clc.archive.contents import MemberRow
from clc.archive.names import check_name, file_names, printable
from clc.archive.originals import OriginalMethod, jpeg_transcoder
from clc.archive.records import Salvaged, salvage
from clc.codec.metadata_section import read_items
from clc.errors import ArchiveError, ClcError, OutputError
from clc.images.encode import PictureFormat, encode, suffix_of
from clc.images.metadata import Metadata
from clc.runtime.files import check_output, make_folder, write_atomically

_PERMISSIONS = 0o777


@dataclass(frozen=True)
class Unpacked:
    """What became of one member: the file that it is in now, or why there is none."""

    name: str
    path: Path | None = None
    reason: str = ""


@dataclass(frozen=True)
class PictureFolder:
    """Where pictures go, and how. quality: of lossy formats; None for that of `clc.images.encode`."""

    root: Path
    format: PictureFormat = PictureFormat.PNG
    quality: int | None = None
    overwrite: bool = False

    def place(self, file: str) -> Path:
        """Where a file goes. Raises OutputError if that is outside, by a link in the folder for one, or taken."""
        path = self.root / check_name(file)
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise OutputError(f"{printable(file)} would be written outside of {self.root}, through a link; remove that")
        check_parents = next(parent for parent in path.parents if os.path.lexists(parent))
        if not check_parents.is_dir():
            raise OutputError(f"{printable(file)}: cannot be written: {check_parents} is a file; name another folder")
        if path.parent.is_dir():
            check_output(path, overwrite=self.overwrite)
        return path

    def write(self, file: str, pixels: np.ndarray, row: MemberRow | None) -> Path:
        """Write a picture, with what the photo carried, its time and permissions. Raises OutputError if that fails."""
        path = self.place(file)
        make_folder(path.parent)
        name = printable(file)
        metadata = Metadata() if row is None else read_items(row.carried)
        self._write(path, encode(pixels, self.format, name=name, quality=self.quality, metadata=metadata), name, row)
        return path

    def write_original(self, file: str, data: bytes, row: MemberRow) -> Path:
        """Write an original file, likewise."""
        path = self.place(file)
        make_folder(path.parent)
        self._write(path, data, printable(file), row)
        return path

    def _write(self, path: Path, data: bytes, name: str, row: MemberRow | None) -> None:
        write_atomically(path, data, overwrite=self.overwrite)
        try:
            if row is not None and row.mode:
                path.chmod(row.mode & _PERMISSIONS & ~_umask())
            if row is not None and row.modified:
                os.utime(path, ns=(row.modified, row.modified))
        except OSError as error:
            raise OutputError(f"{name}: its time cannot be restored: {error.strerror or error}") from error


def select(names: Sequence[str], patterns: Iterable[str]) -> list[str]:
    """The names that are given, or fit a pattern (`*` goes into folders too); all of them without any.

    Raises ArchiveError for one that fits nothing.
    """
    wanted: set[str] = set()
    there = set(names)
    given = False
    for pattern in patterns:
        given = True
        found = {pattern} if pattern in there else set(fnmatch.filter(names, pattern))
        if not found:
            raise ArchiveError(f"{printable(pattern)}: the archive has no such photo; `clc list` shows what it has")
        wanted |= found
    return [name for name in names if name in wanted] if given else list(names)


def unpack(
    archive: ArchiveReader, decoder: StreamDecoder, folder: PictureFolder, names: Sequence[str]
) -> Iterator[Unpacked]:
    """Decode these members to files; one that is damaged, or has no place, is named, and the others are done.

    Raises ArchiveError and OutputError where all are affected, before anything is written.
    """
    files = file_names(archive.names, suffix_of(folder.format))
    make_folder(folder.root)
    for name in names:
        try:
            stream, keys = archive.streams(name)
            folder.place(files[name])  # refused before the work
            path = folder.write(files[name], np.asarray(decoder.decode(stream, keys)), archive.member(name))
            yield Unpacked(name, path)
        except ClcError as error:
            yield Unpacked(name, reason=str(error))


def unpack_originals(archive: ArchiveReader, folder: PictureFolder, names: Sequence[str]) -> Iterator[Unpacked]:
    """The original files of these members, to the byte; one that is not kept, or damaged, or has no place, is named.

    Raises as `jpeg_transcoder`, before anything is written, where it is needed; OutputError as `unpack`.
    """
    rows = (archive.member(name).original for name in names)
    if any(row is not None and row.method == OriginalMethod.JPEG_XL for row in rows):
        jpeg_transcoder()
    files = file_names(archive.names, None)
    make_folder(folder.root)
    for name in names:
        try:
            path = folder.write_original(files[name], archive.original(name), archive.member(name))
            yield Unpacked(name, path)
        except ClcError as error:
            yield Unpacked(name, reason=str(error))


def unpack_salvaged(
    source: ByteRanges, decoder: StreamDecoder, folder: PictureFolder, patterns: Sequence[str] = ()
) -> Iterator[Unpacked]:
    """`unpack` for an archive that is cut short or damaged: whole members go to files, the others are named.

    Raises ArchiveError if there is nothing in the file that looks like a member.
    """
    found: dict[str, Salvaged] = {}
    for each in salvage(source):
        if each.name not in found or (found[each.name].stream is None and each.stream is not None):
            found[each.name] = each
    usable = [name for name in found if _is_usable(name)]
    if not usable:
        raise ArchiveError(f"{source.name}: nothing in it looks like a photo of an archive")
    files = file_names(usable, suffix_of(folder.format))
    make_folder(folder.root)
    for name in select(usable, patterns):
        each = found[name]
        try:
            if each.stream is None:
                raise ArchiveError(f"{printable(name)}: lost: {each.reason}")
            stream, *keys = (source.read(extent.at, extent.length) for extent in (each.stream, *each.keys))
            yield Unpacked(name, folder.write(files[name], np.asarray(decoder.decode(stream, keys)), each.row))
        except ClcError as error:
            yield Unpacked(name, reason=str(error))


def _is_usable(name: str) -> bool:
    try:
        check_name(name)
    except ArchiveError:
        return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
