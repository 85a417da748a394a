"""Dataset manifests: what a public dataset is, where its files lie and how to check them.

A manifest is `data/NAME.toml` in a checkout, or the copy of it inside an installed package. Downloads go to
`datasets_dir()`, one folder a dataset.
"""

import os
import tomllib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clc.errors import SourceError

PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # one path component, never hidden


class DatasetFile(BaseModel):
    """One file to download: a photo, or an archive of photos.

    Without `url` the user has to place the file by hand, as the manifest's `manual` says. Without `sha256` the
    download cannot be verified, only recorded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: PlainName
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    archive: bool = False

    @property
    def result(self) -> str:
        """Name, in the dataset's folder, of what the fetch leaves: the file, or the folder of the archive's content."""
        return self.filename.split(".")[0] if self.archive else self.filename


class DatasetManifest(BaseModel):
    """A public dataset. `images_glob` picks the photos, relative to the dataset's folder.

    >>> load_manifest("kodak").files[0].filename
    'kodim01.png'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PlainName
    title: str
    licence: str
    split: str | None = None
    homepage: str
    citation: str | None = None
    images_glob: Annotated[str, Field(min_length=1)]
    files: Annotated[tuple[DatasetFile, ...], Field(min_length=1)]
    manual: str | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        results = [file.result for file in self.files]
        if len(set(results)) < len(results):
            raise ValueError("two files have one name")
        if any(file.result == file.filename for file in self.files if file.archive):
            raise ValueError("an archive's filename needs an extension: its content goes to the name without it")
        if self.manual is None and any(file.url is None for file in self.files):
            raise ValueError("a file without url needs the manifest's `manual` to say where to get it")
        if self.images_glob.startswith("/") or ".." in self.images_glob.split("/"):
            raise ValueError("images_glob must stay inside the dataset's folder")
        return self


def datasets_dir() -> Path:
    """Where datasets are downloaded to and read from: $CLC_DATASETS, else `data` in the working directory."""
    return Path(os.environ.get("CLC_DATASETS") or "data")


def dataset_names() -> list[str]:
    """The names of all manifests, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in _manifest_files())


def load_manifest(name: str) -> DatasetManifest:
    """The manifest of a dataset.

    Raises SourceError if there is none of this name (the message lists those there are) or it is not valid.
    """
    for file in _manifest_files():
        if file.name == f"{name}.toml":
            return _parse_manifest(file.read_text(encoding="utf-8"), name)
    raise SourceError(f"no dataset is called {name!r}; there are: {', '.join(dataset_names())}")


def _parse_manifest(text: str, name: str) -> DatasetManifest:
    try:
        manifest = DatasetManifest.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise SourceError(f"the manifest of dataset {name} is not valid: {error}") from error
    if manifest.name != name:
        raise SourceError(f"the manifest of dataset {name} calls itself {manifest.name}")
    return manifest


def _manifest_files() -> Iterator[Traversable]:
    checkout = Path(__file__).parents[3]
    # An installed package has no pyproject.toml two folders up, and a `data` there would be somebody else's.
    in_checkout = (checkout / "pyproject.toml").is_file()
    folder = checkout / "data" if in_checkout else resources.files("clc.images") / "manifests"
    if folder.is_dir():
        yield from (file for file in folder.iterdir() if file.name.endswith(".toml"))
