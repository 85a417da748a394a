"""The photos that a command names: folders, files, patterns, photo sources, a list. Found at once, read when needed."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from clc.archive.names import check_name, printable
from clc.errors import ArchiveError, ImageError, SourceError
from clc.images.photo import EncodedPhoto
from clc.images.sources.folder import LINKED_FOLDER
from clc.images.sources.recognise import FIRST_BYTES, why_not_a_photo
from clc.images.sources.specification import open_source
from clc.runtime.remarks import leave_out

_SOURCE_KINDS = ("bundled", "folder:", "parquet:", "dataset:")


@dataclass(frozen=True)
class InputPhoto:
    """A photo that is to be packed, under a name. path: its file; data: what is in it, where there is no file.

    modified: nanoseconds since 1970; mode: permission bits. missing: why there is neither file nor data.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None
    modified: int = 0
    mode: int = 0
    missing: str | None = None

    def read(self) -> bytes:
        """The file. Raises ImageError if it cannot be read."""
        if self.missing is not None:
            raise ImageError(f"{printable(self.name)}: {self.missing}")
        if self.data is not None:
            return self.data
        assert self.path is not None, "a photo is in a file or in memory"
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):  # to open a FIFO would be to wait
                raise ImageError(f"{printable(str(self.path))}: not a file; name files and folders")
            return self.path.read_bytes()
        except OSError as error:
            raise ImageError(f"{printable(str(self.path))}: cannot be read: {error.strerror or error}") from error


@dataclass
class Inputs:
    """What was found.

    unusable: names that no member can have, with the reason.
    """

    photos: list[InputPhoto] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[InputPhoto]:
        yield from self.photos
        for spec in self.sources:
            yield from map(_held, open_source(spec).encoded())

    @property
    def count(self) -> int | None:
        """How many there are; None if only reading them tells."""
        return None if self.sources else len(self.photos)


def find_inputs(arguments: Sequence[str], listed: Iterable[str] = ()) -> Inputs:
    """The photos of folders (at any depth), files, glob patterns and photo sources.

    Members are called by their path below what all arguments have in common: one folder alone, by the path in it.
    listed: files from a list, as more arguments. Each file is taken once, by whichever names it is named.
    Raises SourceError for an argument that names nothing, and if nothing is left.
    """
    inputs = Inputs(sources=[each for each in arguments if _is_source(each)])
    roots = [path for each in arguments if not _is_source(each) for path in _expanded(each)]
    roots += [_existing(each) for each in listed if each]
    base = _common(roots)
    seen: set[Path] = set()
    for root in roots:
        for path in _files(root, inputs):
            if (real := Path(os.path.realpath(path))) in seen:
                continue
            seen.add(real)
            try:
                name = check_name(PurePosixPath(os.path.relpath(path, base)).as_posix())
                found = path.stat()
            except (ArchiveError, OSError) as error:
                inputs.unusable.append((str(path), getattr(error, "strerror", None) or str(error)))
                continue
            inputs.photos.append(InputPhoto(name, path, None, found.st_mtime_ns, stat.S_IMODE(found.st_mode)))
    inputs.photos.sort(key=lambda photo: photo.name)
    if not (inputs.photos or inputs.sources or inputs.unusable):
        raise SourceError(f"{', '.join(arguments)}: there are no photos; name a folder, files or a photo source")
    return inputs


def _held(photo: EncodedPhoto) -> InputPhoto:
    return InputPhoto(photo.image_id, data=photo.data, missing=photo.missing)


def _is_source(argument: str) -> bool:
    return argument.startswith(_SOURCE_KINDS) and not os.path.lexists(argument)


def _expanded(argument: str) -> list[Path]:
    if os.path.lexists(argument):
        return [Path(argument)]
    return [Path(each) for each in sorted(glob.glob(argument, recursive=True))] or [_existing(argument)]


def _existing(argument: str) -> Path:
    if not os.path.lexists(argument):
        raise SourceError(f"{printable(argument)}: there is no such file, folder or pattern that fits anything")
    return Path(argument)


def _common(roots: Sequence[Path]) -> str:
    """The folder that members' names are relative to."""
    folders = [os.path.abspath(root if root.is_dir() else root.parent) for root in roots]
    if not folders:
        return os.curdir
    if len(roots) > 1 and any(root.is_dir() for root in roots):
        # Folders beside each other keep their names.
        folders += [os.path.dirname(os.path.abspath(root)) for root in roots]
    return os.path.commonpath(folders)


def _files(root: Path, inputs: Inputs) -> Iterator[Path]:
    """The photos below a folder, or the file itself, whatever it is called. What is left out is said."""
    if not root.is_dir():
        yield root
        return
    inside = root.resolve()

    def unlistable(error: OSError) -> None:
        inputs.unusable.append((str(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(root, onerror=unlistable):
        folders.sort()
        for linked in (path for path in map(Path(parent).joinpath, folders) if path.is_symlink()):
            leave_out(linked.relative_to(root).as_posix(), LINKED_FOLDER, os.fspath(root))
        for name in sorted(names):
            path = Path(parent) / name
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
                reason: str | None = "a link out of the folder; copy what it leads to"
            else:
                reason = why_not_a_photo(name, _first_bytes(path))
            if reason is None:
                yield path
            else:
                leave_out(path.relative_to(root).as_posix(), reason, os.fspath(root))


def _first_bytes(path: Path) -> bytes:
    """Of a file that can be read; nothing otherwise, so that its name decides."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb", buffering=0) as file:
            return file.read(FIRST_BYTES)
    except OSError:
        return b""
