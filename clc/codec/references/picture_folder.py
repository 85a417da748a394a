"""A folder of decoded pictures: each of them can be decoded again, so nothing here is ever an error.

A file is `_MAGIC`, the SHA-256 of its key and its pixels, and a lossless WebP. What is damaged, exchanged or no file
at all is not read; what cannot be written is not kept. Files that were not used for longest go first. Several processes
may share a folder: files appear in it whole, and any may vanish at any time.
"""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clc.codec.lossless import read_lossless
from clc.errors import BitstreamError
from clc.images.patch import encode_patch, pixels_sha256

DEFAULT_BYTES = 2**31
"""Of all files of a folder."""
_MAGIC = b"clcpic1\n"
_DIGEST_BYTES = 32
_SUFFIX = ".picture"
_UNFINISHED = ".unfinished-"
_FORGOTTEN_SECONDS = 3600.0  # after which nobody is still writing an unfinished file
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class PictureFolder:
    """Pictures by key.

    path: made when the first picture is written. Default: `clc/pictures` in the user's cache folder. One that belongs
    to somebody else, or that others may write to, is left alone.
    limit: bytes of all files.

    >>> folder = PictureFolder(Path(tempfile.mkdtemp()) / "pictures")
    >>> folder.write("a key", np.zeros((20, 30, 3), np.uint8))
    >>> folder.read("a key", 20, 30).shape
    (20, 30, 3)
    >>> folder.read("another key", 20, 30) is None
    True
    """

    def __init__(self, path: Path | None = None, limit: int = DEFAULT_BYTES) -> None:
        self.path = user_folder() if path is None else path
        self._limit = limit

    def read(self, key: str, height: int, width: int) -> NDArray[np.uint8] | None:
        """uint8 [height, width, 3], just as it was written; None if it is not there."""
        with suppress(OSError):
            if not self._is_ours():
                return None
            pixels = self._read(key, height, width)
            if pixels is None:
                self._file(key).unlink(missing_ok=True)
                return None
            with suppress(OSError):  # another process may have removed it
                os.utime(self._file(key))
            return pixels
        return None

    def write(self, key: str, pixels: NDArray[np.uint8]) -> None:
        """Keep uint8 [H, W, 3], if there is room for it."""
        with suppress(OSError, ValueError):  # ValueError: WebP has no images of that size
            data = _MAGIC + _digest(key, pixels) + encode_patch(pixels)
            if len(data) > self._limit:
                return
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_ours():
                self._make_room(len(data))
                self._write(key, data)

    def _is_ours(self) -> bool:
        there = self.path.stat()
        if os.name != "posix":
            return stat.S_ISDIR(there.st_mode)
        return stat.S_ISDIR(there.st_mode) and there.st_uid == os.getuid() and not there.st_mode & _OTHERS_MAY_WRITE

    def _file(self, key: str) -> Path:
        return self.path / f"{hashlib.sha256(key.encode()).hexdigest()}{_SUFFIX}"

    def _read(self, key: str, height: int, width: int) -> NDArray[np.uint8] | None:
        # Neither a link, which may lead anywhere, nor a FIFO, on which opening would wait.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._file(key), flags)
        try:
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode) or there.st_size > _largest_file(height, width):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(there.st_size)
        finally:
            os.close(descriptor)
        start = len(_MAGIC) + _DIGEST_BYTES
        if not data.startswith(_MAGIC):
            return None
        try:
            pixels = read_lossless(data[start:], height, width)
        except BitstreamError:
            return None
        return pixels if data[len(_MAGIC) : start] == _digest(key, pixels) else None

    def _write(self, key: str, data: bytes) -> None:
        descriptor, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=self.path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(unfinished, self._file(key))
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise

    def _make_room(self, wanted: int) -> None:
        """Remove what was not used for longest, until a file of so many bytes fits."""
        found = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        taken = sum(there.st_size for _, there in found)
        for path, there in found:
            if taken + wanted <= self._limit:
                break
            with suppress(OSError):
                os.unlink(path)
            taken -= there.st_size

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(OSError):  # another process may have removed it
                    there = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(_SUFFIX):
                        yield entry.path, there
                    elif entry.name.startswith(_UNFINISHED) and time.time() - there.st_mtime > _FORGOTTEN_SECONDS:
                        os.unlink(entry.path)


def user_folder() -> Path:
    """`clc/pictures` in the user's cache folder: $XDG_CACHE_HOME, else ~/.cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "clc" / "pictures"


def _digest(key: str, pixels: NDArray[np.uint8]) -> bytes:
    """The key too: a file that was given another's name must not be taken for it."""
    return hashlib.sha256(f"{key} {pixels_sha256(pixels)}".encode()).digest()


def _largest_file(height: int, width: int) -> int:
    """Lossless WebP needs little more than the pixels themselves, even of noise."""
    return 2**16 + 4 * height * width
