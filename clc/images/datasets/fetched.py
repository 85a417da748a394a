"""A dataset that lies on disk: the record of what was fetched, and the photo source that reads it.

<root>/<name>/
    fetched.json        the record: one entry for each file of the manifest that is complete
    kodim01.png …       files that are photos
    Flickr2K/…          the content of an archive, in a folder named after it
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from clc.errors import SourceError
from clc.images.datasets.manifests import DatasetManifest, datasets_dir, load_manifest
from clc.images.photo import EncodedPhoto


class FetchedFile(BaseModel):
    """What arrived for one file; `verified` says whether the manifest's digest confirmed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    bytes: int
    verified: bool


class FetchRecord(BaseModel):
    """The files of a dataset that were fetched, by filename; `fetched.json` in the dataset's folder."""

    model_config = ConfigDict(extra="forbid")

    files: dict[str, FetchedFile] = {}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The record in `folder`, empty if there is none. Raises SourceError if it cannot be understood."""
        path = folder / "fetched.json"
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise SourceError(f"{path} is damaged; delete it and fetch again") from error

    def save(self, folder: Path) -> None:
        unfinished = folder / "fetched.json.part"
        unfinished.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, folder / "fetched.json")

    def missing(self, manifest: DatasetManifest, folder: Path) -> list[str]:
        """The filenames of `manifest` that `folder` does not hold, or holds in another version."""
        return [
            file.filename
            for file in manifest.files
            if (fetched := self.files.get(file.filename)) is None
            or (file.sha256 is not None and file.sha256 != fetched.sha256)
            or not (folder / file.result).exists()
        ]


class DatasetSource:
    """The photos of a fetched dataset, sorted by image_id: the path below the fixed part of `images_glob`."""

    def __init__(self, name: str) -> None:
        self.manifest = load_manifest(name)
        self.spec = f"dataset:{name}"

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if the dataset was not fetched completely or a file cannot be read."""
        folder = datasets_dir() / self.manifest.name
        if FetchRecord.load(folder).missing(self.manifest, folder):
            raise SourceError(f"{self.spec} is not in {folder}; run: clc data fetch {self.manifest.name}")
        base = folder / _fixed_part(self.manifest.images_glob)
        photos = {path.relative_to(base).as_posix(): path for path in folder.glob(self.manifest.images_glob)}
        for image_id in sorted(photos)[start:stop]:
            try:
                data = photos[image_id].read_bytes()
            except OSError as error:
                raise SourceError(f"{self.spec}: cannot read {photos[image_id]}: {error.strerror}") from error
            yield EncodedPhoto(image_id, data, self.manifest.title, self.manifest.licence, split=self.manifest.split)


def _fixed_part(glob: str) -> PurePosixPath:
    """The leading folders of a glob that hold no wildcard: `a/b/*.png` → `a/b`."""
    fixed = PurePosixPath()
    for part in PurePosixPath(glob).parts[:-1]:
        if any(character in part for character in "*?["):
            break
        fixed /= part
    return fixed
