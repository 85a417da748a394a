"""The few file-system operations that a store is built on, for any fsspec file system.

Two of them carry the guarantees: `put` never shows a half-written file under its final name, and `create` succeeds
for exactly one of any number of concurrent callers.
"""

import errno
import hashlib
import inspect
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from clc.errors import StoreError

TEMPORARY_PREFIX = ".tmp-"
_CONDITIONAL_CREATE = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
_CHUNK = 1 << 20


class Storage:
    """The root of a store on some file system; all paths are relative to it.

    Raises StoreError if the URL names an unknown protocol, and from every method if the file system fails.

    >>> storage = Storage("memory://storage-example")
    >>> storage.create("note.json", b"first"), storage.create("note.json", b"second")
    (True, False)
    >>> storage.read("note.json"), storage.read("absent.json")
    (b'first', None)
    """

    def __init__(self, url: str) -> None:
        try:
            self.file_system, self.root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError(f"cannot open the store {url}: {error}") from error
        self.is_local = isinstance(self.file_system, LocalFileSystem)

    def full_path(self, path: str) -> str:
        """Return the path as the file system (and the user) knows it."""
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def display(self, path: str = "") -> str:
        """Return the path as messages show it: plain on local disks, a URL elsewhere."""
        full = self.full_path(path)
        return full if self.is_local else self.file_system.unstrip_protocol(full)

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file, None if it does not exist."""
        with self._reported("read", path):
            try:
                return self.file_system.cat_file(self.full_path(path))
            except FileNotFoundError:
                return None

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, None if there is no such file."""
        with self._reported("read", path):
            self.file_system.invalidate_cache()  # object stores answer from listings that others outdate
            try:
                info = self.file_system.info(self.full_path(path))
            except FileNotFoundError:
                return None
        return info["size"] if info["type"] == "file" else None

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; reading from it raises OSError if the file system fails."""
        with self._reported("read", path):
            return self.file_system.open(self.full_path(path), "rb")

    def sha256(self, path: str) -> str | None:
        """Return the SHA-256 of a file, None if it does not exist."""
        with self._reported("read", path):
            try:
                with self.file_system.open(self.full_path(path), "rb") as file:
                    return _sha256(file)
            except FileNotFoundError:
                return None

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a directory, none if it does not exist."""
        with self._reported("list", path):
            self.file_system.invalidate_cache()
            try:
                entries = self.file_system.ls(self.full_path(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)

    def put(self, source: Path, path: str, sha256: str) -> None:
        """Copy a local file to `path` and read it back; a file that is already there and right is kept."""
        with self._reported("write", path):
            if self.sha256(path) == sha256 and not self._is_link(path):
                return
            with self._taking_the_place_of(path) as temporary:
                self.file_system.put_file(str(source), temporary)
        if self.sha256(path) != sha256:
            raise StoreError(f"{self.display(path)} does not read back as written; check the disk, then retry")

    def create(self, path: str, data: bytes) -> bool:
        """Create a small file, whole, unless it exists; return whether this call created it."""
        self.require_exclusive_create()
        with self._reported("write", path):
            if self.is_local:
                return self._link_into_place(path, data)
            try:
                self.file_system.pipe_file(self.full_path(path), data, mode="create")
            except FileExistsError:
                return False
            return True

    def replace(self, path: str, data: bytes) -> None:
        """Write a small file, whole, over whatever was there."""
        with self._reported("write", path), self._taking_the_place_of(path) as temporary:
            self.file_system.pipe_file(temporary, data)

    def modified(self, path: str) -> datetime | None:
        """Return when a file or directory was last written, None if it is gone or the file system does not say."""
        with self._reported("read", path):
            try:
                moment = self.file_system.modified(self.full_path(path))
            except (FileNotFoundError, NotImplementedError, KeyError):  # KeyError: s3fs, of a directory
                return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def is_directory(self, path: str) -> bool:
        """Say whether a path is a directory; a symbolic link to one is not."""
        with self._reported("read", path):
            return self.file_system.isdir(self.full_path(path)) and not self._is_link(path)

    def delete(self, path: str) -> None:
        """Delete a file, a link or an empty directory; what is gone already, or not empty, is left as it is."""
        with self._reported("delete", path):
            try:
                if self.is_local and self.is_directory(path):
                    os.rmdir(self.full_path(path))
                else:
                    self.file_system.rm_file(self.full_path(path))
            except OSError as error:
                # Drivers of object stores raise FileNotFoundError without a number.
                if error.errno != errno.ENOTEMPTY and not isinstance(error, FileNotFoundError):
                    raise

    def withdraw(self, directory: str, first: str) -> None:
        """Delete a directory of files such that nobody who sees its file `first` misses another one.

        On local disks it is renamed away before, so whoever writes to it meanwhile finds an empty place, never half
        of what was there.
        """
        if self._is_link(directory):
            self.delete(directory)
            return
        with self._reported("delete", directory):
            if self.is_local:
                hidden = self._temporary_beside(directory)
                try:
                    os.rename(self.full_path(directory), hidden)
                except FileNotFoundError:
                    return
                _sync_directory(hidden)
                directory = f"{directory.rpartition('/')[0]}/{hidden.rpartition('/')[2]}"
        self.delete(f"{directory}/{first}")
        for name in self.names(directory):
            self.delete(f"{directory}/{name}")
        if self.is_local:
            self.delete(directory)

    def require_exclusive_create(self) -> None:
        """Raise StoreError if two writers could both believe that they created a file."""
        if self.is_local:
            return
        # Most drivers take `mode="create"` and then look before they write, or ignore it: two writers both win. So
        # only those known to make a conditional request count, in a version that has the parameter.
        protocol = self.file_system.protocol
        known = _CONDITIONAL_CREATE & ({protocol} if isinstance(protocol, str) else set(protocol))
        pipe_file = getattr(self.file_system, "_pipe_file", self.file_system.pipe_file)
        if not known or "mode" not in inspect.signature(pipe_file).parameters:
            raise StoreError(
                f"cannot publish to {self.display()}: its file system has no exclusive create; "
                "use a local directory or an object store (s3://, gs://, az://) with a current driver"
            )

    def escapes(self, path: str) -> bool:
        """Say whether a path on a local disk leads out of the store through a symbolic link."""
        if not self.is_local:
            return False
        root = os.path.realpath(self.root)
        return not os.path.realpath(self.full_path(path)).startswith(root + os.sep)

    def _link_into_place(self, path: str, data: bytes) -> bool:
        # Opening with O_EXCL would be exclusive too, but readers could see the file half written, and a killed writer
        # would leave it so for ever. A hard link appears at once, with all its content, or not at all.
        temporary, final = self._temporary_beside(path), self.full_path(path)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
            except OSError as error:
                raise StoreError(
                    f"cannot commit {self.display(path)}: {error}; a store needs a file system with hard links"
                ) from error
        finally:
            Path(temporary).unlink(missing_ok=True)
        _sync_directory(final)
        return True

    @contextmanager
    def _taking_the_place_of(self, path: str) -> Iterator[str]:
        """The name of a file to write, which then becomes `path`. If that fails, nothing is left of it: on a full disk
        it would keep what little room there is.
        """
        temporary, final = self._temporary_beside(path), self.full_path(path)
        try:
            yield temporary
            if self.is_local:
                _sync(temporary)
                os.replace(temporary, final)
                _sync_directory(final)
            else:
                self.file_system.mv(temporary, final)
        except BaseException:
            with suppress(OSError):
                self.file_system.rm_file(temporary)
            raise

    def _temporary_beside(self, path: str) -> str:
        """Return a fresh name in the directory of `path`, which then exists: renames need one file system."""
        directory = self.full_path(path).rsplit("/", 1)[0]
        if self.is_local:
            os.makedirs(directory, exist_ok=True)
        return f"{directory}/{TEMPORARY_PREFIX}{uuid.uuid4().hex}"

    def _is_link(self, path: str) -> bool:
        return self.is_local and os.path.islink(self.full_path(path))

    @contextmanager
    def _reported(self, action: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"cannot {action} {self.display(path)}: {error}") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a local file."""
    with path.open("rb") as file:
        return _sha256(cast(BinaryIO, file))


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: str) -> None:
    # Without this a power cut may keep a manifest and forget the data files published before it.
    if os.name == "posix":
        _sync(os.path.dirname(path))
