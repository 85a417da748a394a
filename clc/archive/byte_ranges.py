"""Where the bytes of an archive come from, read by ranges only: a local file, an fsspec URL, an open file object."""

import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from clc.errors import ArchiveError

_URL_SEPARATORS = ("://", "::")


class ByteRanges(Protocol):
    """Bytes that are read from anywhere. `name` is what error messages call them."""

    name: str
    size: int

    def read(self, at: int, length: int) -> bytes:
        """The bytes from `at` on, fewer where they end. Raises ArchiveError if they cannot be read."""

    def close(self) -> None:
        """Let go of what is open."""


def open_ranges(source: "str | os.PathLike[str] | BinaryIO", **options: Any) -> ByteRanges:
    """The bytes of a path, of an fsspec URL, or of a file object that can seek. Raises ArchiveError if there are none.

    options: for the file system of a URL.
    """
    if not isinstance(source, str | os.PathLike):
        return FileObject(source)
    if isinstance(source, str) and any(each in source for each in _URL_SEPARATORS):
        return Remote(source, **options)
    return LocalFile(Path(source))


class LocalFile:
    """A file, read without a position of its own, so that threads need not wait for each other."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            if not path.is_file():  # opening a FIFO would wait
                raise ArchiveError(f"{path}: there is no such file; name a .clca archive")
            self._descriptor = os.open(path, os.O_RDONLY)
            self.size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _unreadable(self.name, error) from error

    def read(self, at: int, length: int) -> bytes:
        """As the protocol says."""
        parts = []
        try:
            while length > 0 and (part := os.pread(self._descriptor, length, at)):
                parts.append(part)
                at, length = at + len(part), length - len(part)
        except OSError as error:
            raise _unreadable(self.name, error) from error
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Remote:
    """A file of any fsspec file system: exactly the ranges asked for are requested."""

    def __init__(self, url: str, **options: Any) -> None:
        import fsspec

        self.name = url
        try:
            self._files, self._path = fsspec.core.url_to_fs(url, **options)
            self.size = int(self._files.info(self._path)["size"])
        except (OSError, ImportError, ValueError, TypeError, KeyError) as error:
            raise _unreadable(url, error) from error

    def read(self, at: int, length: int) -> bytes:
        """As the protocol says."""
        end = min(at + length, self.size)
        if at >= end:
            return b""
        try:
            data: bytes = self._files.cat_file(self._path, start=at, end=end)
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error
        return data

    def close(self) -> None:
        """Nothing is open."""


class FileObject:
    """A binary file object that can seek; it stays its owner's."""

    def __init__(self, file: BinaryIO) -> None:
        self.name = str(getattr(file, "name", "archive"))
        self._file = file
        self._lock = threading.Lock()
        try:
            self.size = file.seek(0, os.SEEK_END)
        except (OSError, AttributeError, ValueError) as error:
            raise _unreadable(self.name, error) from error

    def read(self, at: int, length: int) -> bytes:
        """As the protocol says."""
        try:
            with self._lock:
                self._file.seek(at)
                return self._file.read(length)
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from error

    def close(self) -> None:
        """The file is not ours to close."""


def _unreadable(name: str, error: Exception) -> ArchiveError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ArchiveError(f"{name}: cannot be read: {reason}")
