"""Output files that appear whole or not at all, and that replace no file unless asked to."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from clc.errors import OutputError

FileKey = tuple[int, int] | str
"""What two names of one file have in common: device and inode, or the full path of a file that is not there."""

_STANDARD_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Make `path` hold `data`; if that fails, it holds what it held before, and nothing is left beside it.

    A file that is there is replaced only with `overwrite`, and keeps its permissions. A symbolic link stays: the file
    that it leads to is meant. A FIFO or a character device is opened and written into, whether `overwrite` or not; what
    is open already (`descriptor_of`) is written into from where it stands, also a file.
    Raises OutputError for what `check_output` refuses, and if the file cannot be written.
    """
    with open_atomically(path, overwrite=overwrite) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file to write, which goes to `path` as `write_atomically` does if the block ends without an exception.

    Until then it is beside `path`, or among the temporary files if `path` is a FIFO, a device or a descriptor. The
    block should raise OSError for faults of this file alone: it leaves as OutputError.
    """
    there = _look_up(path, overwrite)
    regular = there is None or (stat.S_ISREG(there.st_mode) and descriptor_of(path) is None)
    final = path if there is None or not regular else path.resolve()
    try:
        with _unfinished(final.parent if regular else None) as unfinished:
            with unfinished.open("xb") as file:
                yield cast(BinaryIO, file)
                file.flush()
                os.fsync(file.fileno())
            if there is None:
                _create(unfinished, path, overwrite)
            elif regular:
                unfinished.chmod(stat.S_IMODE(there.st_mode))
                os.replace(unfinished, final)
            else:
                _write_into(path, unfinished)
    except OSError as error:
        raise _cannot_be_written(path, error.strerror or str(error)) from error


def put_in_place(finished: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file, in the same folder, the name `path`, as `write_atomically` would.

    Raises OutputError for what `check_output` refuses, and if it fails; the finished file is still there then.
    """
    there = _look_up(path, overwrite)
    try:
        if there is None:
            _create(finished, path, overwrite)
            finished.unlink(missing_ok=True)
        elif stat.S_ISREG(there.st_mode) and descriptor_of(path) is None:
            finished.chmod(stat.S_IMODE(there.st_mode))
            os.replace(finished, path.resolve())
        else:
            raise _cannot_be_written(path, "it is no ordinary file")
    except OSError as error:
        raise _cannot_be_written(path, error.strerror or str(error)) from error


def check_output(path: Path, *, overwrite: bool, sources: Collection[Path] = ()) -> None:
    """Refuse an output before work is done for it.

    sources: the files that the output is made from.
    Raises OutputError if the output is one of the sources, also by links; for a file that is there, without
    `overwrite`; for one that is read-only, a folder, a block device or a link that leads nowhere; and if there is no
    folder for it.
    """
    if file_key(path) in {file_key(source) for source in sources} - {None}:
        raise OutputError(f"{path} is the input too, which would be lost; name another file")
    _look_up(path, overwrite)


def file_key(file: Path | int) -> FileKey | None:
    """Equal for all names of one file, links among them, and for its open descriptors.

    None for what takes in something else than it gives out, as a terminal or a socket does, and for a descriptor that
    is not open.
    """
    try:
        there = os.stat(file)
    except OSError:
        return None if isinstance(file, int) else os.path.realpath(file)
    lasting = stat.S_ISREG(there.st_mode) or stat.S_ISFIFO(there.st_mode) or stat.S_ISBLK(there.st_mode)
    return (there.st_dev, there.st_ino) if lasting else None


def descriptor_of(path: Path) -> int | None:
    """The descriptor that a path names, as /dev/stdout and /dev/fd/3 do; None for any other.

    To open such a file again would be to write from its start, over what the user's shell said to keep.

    >>> descriptor_of(Path("/dev/stdout"))
    1
    """
    name = os.path.abspath(path)
    found = _DESCRIPTOR.fullmatch(name)
    return _STANDARD_STREAMS.get(name) if found is None else int(found[1])


def open_special(path: Path) -> int:
    """A new descriptor to write into what `is_special`. Raises OSError if that cannot be."""
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return os.dup(descriptor)
    return os.open(path, os.O_WRONLY)  # nothing is created, should it have gone meanwhile


def is_special(path: Path) -> bool:
    """Whether what is there is written into, never replaced: a FIFO, a device, a socket, and whatever is open
    already (`descriptor_of`).
    """
    if descriptor_of(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def make_folder(path: Path) -> None:
    """Make a folder, with those that it is in, unless it is there. Raises OutputError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {error.strerror or error}; name another file or folder") from error


def write_page(path: Path, page: str, *, overwrite: bool = True) -> None:
    """`write_atomically` for an HTML page, with the folder that it is in. Raises OutputError if that fails."""
    make_folder(path.parent)
    write_atomically(path, page.encode(), overwrite=overwrite)


def _look_up(path: Path, overwrite: bool) -> os.stat_result | None:
    """What is there to be replaced or written into; OutputError if it may not be."""
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return _look_up_open(path, descriptor)
    try:
        there = os.stat(path)
    except FileNotFoundError as missing:
        if path.is_symlink():
            raise _cannot_be_written(path, f"it is a link to {path.readlink()}, which is not there") from missing
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise _cannot_be_written(path, f"{path.parent} is not a folder that can be written to") from missing
        return None
    except OSError as error:
        raise _cannot_be_written(path, error.strerror or str(error)) from error
    if stat.S_ISDIR(there.st_mode):
        raise _cannot_be_written(path, "it is a folder")
    if stat.S_ISBLK(there.st_mode):
        raise _cannot_be_written(path, "it is a block device, whose content would be lost")
    if stat.S_ISREG(there.st_mode):
        if not overwrite:
            raise OutputError(f"{path} is there already; name another file, or replace it: --force, overwrite=True")
        # The mode, too: root may write to everything.
        if not there.st_mode & 0o222 or not os.access(path, os.W_OK):
            raise _cannot_be_written(path, "it is read-only; make it writable")
    return there


def _look_up_open(path: Path, descriptor: int) -> os.stat_result:
    import fcntl  # not on Windows, which has no such names

    try:
        there = os.fstat(descriptor)
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise _cannot_be_written(path, "it is not open") from error
    if mode == os.O_RDONLY:
        raise _cannot_be_written(path, "it is open to be read")
    return there


def _create(unfinished: Path, path: Path, overwrite: bool) -> None:
    if not overwrite and _linked(unfinished, path):
        return
    os.replace(unfinished, path)


def _linked(unfinished: Path, path: Path) -> bool:
    """Give the file its name, which never replaces another; False where the file system has no hard links.

    Raises OSError if another program took the name meanwhile.
    """
    try:
        os.link(unfinished, path)
    except OSError:
        if os.path.lexists(path):
            raise
        return False
    return True


def _write_into(path: Path, finished: Path) -> None:
    with os.fdopen(open_special(path), "wb") as special, finished.open("rb") as file:
        shutil.copyfileobj(file, special)


@contextmanager
def _unfinished(folder: Path | None) -> Iterator[Path]:
    # A temporary folder, not a temporary file, so that the result gets the user's ordinary permissions.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".clc-") as name:
        yield Path(name) / "unfinished"


def _cannot_be_written(path: Path, reason: str) -> OutputError:
    return OutputError(f"{path}: cannot be written: {reason}; name another file")
