"""Where a pipeline's archives lie: a folder, or any file system that fsspec knows."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
from fsspec.implementations.local import LocalFileSystem

from clc.archive.byte_ranges import open_ranges
from clc.archive.container import ArchiveReader
from clc.errors import ArchiveError, OutputError

_SUFFIX = ".clca"


class ArchivePlace:
    """The archives of one name prefix in a folder (a path or an fsspec URL).

    Methods raise OutputError if the folder cannot be read or written.
    """

    def __init__(self, folder: str, prefix: str) -> None:
        self._prefix = prefix
        try:
            self._files, self._folder = fsspec.core.url_to_fs(folder)
        except (ImportError, ValueError, OSError) as error:
            raise OutputError(f"{folder}: archives cannot be kept there: {error}") from error
        self._local = isinstance(self._files, LocalFileSystem)

    def url(self, key: str) -> str:
        """Of the archive of a key."""
        path = self._path(key)
        return path if self._local else str(self._files.unstrip_protocol(path))

    def archives(self) -> list[str]:
        """URLs of all of the prefix, sorted."""
        with self._failing():
            if not self._files.exists(self._folder):
                return []
            found = self._files.glob(f"{self._folder}/{self._prefix}-*{_SUFFIX}")
        return sorted(path if self._local else str(self._files.unstrip_protocol(path)) for path in found)

    def originals(self) -> set[bytes]:
        """SHA-256 of the files of all photos in them. Raises ArchiveError for one that is damaged."""
        known: set[bytes] = set()
        for url in self.archives():
            archive = ArchiveReader(open_ranges(url))
            try:
                known |= {member.original_sha256 for member, _ in archive.members()}
            finally:
                archive.close()
        return known

    @contextmanager
    def changing(self, key: str, create: Callable[[Path], bool]) -> Iterator[Path | None]:
        """The archive of a key as a local file that is written back, if it changed, when all went well.

        create: makes it where there is none; None is given if it says that there is nothing to make it of. A file of a
        local folder is appended to where it is; of another file system it is a copy. Raises ArchiveError if somebody
        else changed it meanwhile.
        """
        path = self._path(key)
        with self._failing():
            self._files.makedirs(self._folder, exist_ok=True)
            before = self._files.info(path) if self._files.exists(path) else None
        if self._local and before is not None:
            yield Path(path)
            return
        with TemporaryDirectory(prefix="clc-archive-", dir=self._folder if self._local else None) as scratch:
            copy = Path(scratch, f"{key}{_SUFFIX}")
            if before is not None:
                with self._failing():
                    self._files.get_file(path, str(copy))
            elif not create(copy):
                yield None
                return
            size = copy.stat().st_size
            yield copy
            if before is not None and copy.stat().st_size == size:
                return
            with self._failing():
                self._files.invalidate_cache()
                now = self._files.info(path) if self._files.exists(path) else None
                if _state(now) != _state(before):
                    raise ArchiveError(f"{self.url(key)} was changed by another process; run again")
                if self._local:
                    os.replace(copy, path)
                else:
                    self._files.put_file(str(copy), path)

    def _path(self, key: str) -> str:
        return f"{self._folder}/{self._prefix}-{key}{_SUFFIX}"

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._files.unstrip_protocol(self._folder)
            raise OutputError(f"{where}: {error.strerror or error}; see that archives can be kept there") from error


def _state(info: dict[str, object] | None) -> object:
    """What tells whether a file is the same."""
    names = ("size", "ETag", "etag", "created", "mtime")
    return None if info is None else {name: info.get(name) for name in names}
