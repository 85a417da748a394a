"""A folder on any file system that fsspec knows, named by its URL, as a photo source."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from clc.errors import SourceError
from clc.images.photo import EncodedPhoto
from clc.images.sources.recognise import FIRST_BYTES, why_not_a_photo
from clc.runtime.remarks import leave_out


class RemoteFolderSource:
    """The photos below a folder named by a URL, at any depth, sorted by image_id: the path below the folder.

    Photos are told as in a `FolderSource`, and what is left out is said likewise. Links do not exist there.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.spec = f"folder:{url}"
        filesystem, root = open_url(url, self.spec)
        with remote_failures(f"{self.spec}: cannot be listed"):
            if not filesystem.isdir(root):
                raise SourceError(f"{self.spec}: there is no such folder")

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if the folder cannot be read, or for what would be left out, where that is not to be."""
        filesystem, root = open_url(self.url, self.spec)
        for image_id, path in self._photos(filesystem, root)[start:stop]:
            data = b""  # of one that cannot be read; it was counted: other photos keep their positions
            try:
                with remote_failures("cannot be read"):
                    data = filesystem.cat_file(path)
            except SourceError as error:
                leave_out(image_id, str(error), self.spec)
            yield EncodedPhoto(image_id, data, source=self.spec, licence="unknown")

    def _photos(self, filesystem: Any, root: str) -> list[tuple[str, str]]:
        photos = []
        base = root.rstrip("/")
        with remote_failures(f"{self.spec}: cannot be listed"):
            paths = filesystem.find(root)
        for path in paths:
            image_id = path.removeprefix(base).lstrip("/")
            reason = why_not_a_photo(image_id, b"")
            if reason is not None:
                try:
                    with remote_failures("cannot be read"):
                        reason = why_not_a_photo(image_id, filesystem.cat_file(path, 0, FIRST_BYTES))
                except SourceError as error:
                    reason = str(error)
            if reason is None:
                photos.append((image_id, path))
            else:
                leave_out(image_id, reason, self.spec)
        return sorted(photos)


def is_url(where: str) -> bool:
    """Whether a place is a URL that fsspec opens, not a path."""
    return "://" in where


@contextmanager
def remote_failures(what: str) -> Iterator[None]:
    """What a file system raises, as SourceError: each raises what its own library does."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error


def local_path(url: str, spec: str) -> Path | None:
    """The path that a URL names on this machine, where links and FIFOs are; None on any other file system.

    Raises SourceError if it cannot be opened.
    """
    filesystem, path = open_url(url, spec)
    return Path(path) if isinstance(filesystem, LocalFileSystem) else None


def open_url(url: str, spec: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises SourceError if it cannot be opened."""
    with remote_failures(f"{spec}: cannot be opened"):
        filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, path
