"""A folder of image files as a photo source."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from clc.errors import SourceError
from clc.images.photo import EncodedPhoto

logger = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    [".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"]
)  # compared in lower case


class FolderSource:
    """The image files below a folder, at any depth, sorted by image_id: the relative path with forward slashes.

    Files are chosen by extension (`EXTENSIONS`, any case). Folders that are symbolic links are not entered, and a
    file that is a symbolic link out of the folder is skipped with a warning: what lies outside does not belong to
    the collection and may change without it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = f"folder:{folder}"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if the folder, a folder in it or a chosen file cannot be read."""
        for image_id in sorted(self._image_ids())[start:stop]:
            path = self.folder / image_id
            try:
                data = path.read_bytes()
            except OSError as error:
                raise SourceError(f"{self.spec}: cannot read {path}: {error.strerror}") from error
            yield EncodedPhoto(image_id, data, source=self.spec, licence="unknown")

    def _image_ids(self) -> Iterator[str]:
        root = self.folder.resolve()
        for parent, _, names in os.walk(self.folder, onerror=self._refuse):
            for name in names:
                path = Path(parent) / name
                if path.suffix.lower() not in EXTENSIONS:
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    logger.warning("skipped %s: a symbolic link out of the folder", path)
                    continue
                yield self._image_id(path)

    def _image_id(self, path: Path) -> str:
        image_id = path.relative_to(self.folder).as_posix()
        try:
            image_id.encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{self.spec}: the file name {image_id!r} is not valid UTF-8; rename it") from error
        return image_id

    def _refuse(self, error: OSError) -> None:
        raise SourceError(f"{self.spec}: cannot list {error.filename}: {error.strerror}") from error
