"""A folder of image files as a photo source."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from clc.errors import SourceError
from clc.images.photo import EncodedPhoto
from clc.images.sources.recognise import FIRST_BYTES, why_not_a_photo
from clc.runtime.remarks import leave_out

LINKED_FOLDER = "a linked folder; copy its photos, or name it as a source"
"""Why a folder is left out that a symbolic link leads to."""


class FolderSource:
    """The photos below a folder, at any depth, sorted by image_id: the relative path with forward slashes.

    Photos are told by their names and by their first bytes (`clc.images.sources.recognise`). What is left out is said
    (`clc.runtime.remarks`): other files, what cannot be read, folders that are symbolic links, and files that are
    links out of the folder: what lies outside does not belong to the collection and may change without it.

    why_not: instead, by name and first bytes, why a file is left out; None if it is not.
    """

    def __init__(self, folder: Path, why_not: Callable[[str, bytes], str | None] = why_not_a_photo) -> None:
        self.folder = folder
        self.spec = f"folder:{folder}"
        self._why_not = why_not

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if the folder cannot be read, or for what would be left out, where that is not to be."""
        for image_id in self.image_ids()[start:stop]:
            try:
                data = (self.folder / image_id).read_bytes()
            except OSError as error:
                self._leave_out(image_id, f"cannot be read: {error.strerror or error}")
                data = b""  # it was counted: other photos keep their positions
            yield EncodedPhoto(image_id, data, source=self.spec, licence="unknown")

    def image_ids(self) -> list[str]:
        """Those of all photos, sorted. Raises SourceError as `encoded` does."""
        return sorted(self._found())

    def _found(self) -> Iterator[str]:
        try:
            root = self.folder.resolve(strict=True)
            os.listdir(root)
        except (OSError, RuntimeError) as error:
            raise SourceError(f"{self.spec}: cannot be listed: {getattr(error, 'strerror', None) or error}") from error
        for parent, folders, names in os.walk(self.folder, onerror=self._unlisted):
            folders.sort()
            for name in folders:
                if os.path.islink(os.path.join(parent, name)):
                    self._leave_out(self._id(parent, name), LINKED_FOLDER)
            for name in sorted(names):
                image_id = self._id(parent, name)
                reason = _why_left_out(os.path.join(parent, name), root, self._why_not)
                if reason is None:
                    yield image_id
                else:
                    self._leave_out(image_id, reason)

    def _id(self, parent: str, name: str) -> str:
        return (Path(parent) / name).relative_to(self.folder).as_posix()

    def _leave_out(self, image_id: str, reason: str) -> None:
        leave_out(image_id, reason, self.spec)

    def _unlisted(self, error: OSError) -> None:
        folder = self._id(os.fspath(error.filename), ".")
        self._leave_out(folder, f"a folder that cannot be listed: {error.strerror or error}")


def _why_left_out(path: str, root: Path, why_not: Callable[[str, bytes], str | None]) -> str | None:
    """Why a file of a folder is not handed out; None if it is."""
    try:
        os.path.basename(path).encode()
        path.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    try:
        there = os.stat(path)
        if not stat.S_ISREG(there.st_mode):
            return "not a file"  # opening a FIFO would wait for whoever writes into it
        if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
            return "a link out of the folder; copy what it leads to"
        with open(path, "rb", buffering=0) as file:
            return why_not(path, file.read(FIRST_BYTES))
    except OSError as error:
        if not os.path.islink(path):
            return f"cannot be read: {error.strerror or error}"
        return "a link in a circle" if error.errno == errno.ELOOP else "a link that leads nowhere"
