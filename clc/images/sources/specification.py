"""Photo sources by specification: the text that a user writes to say which photos.

    KIND[:WHERE][?key=value&...]

    bundled                          the photos that ship with scikit-image and scikit-learn
    folder:PATH                      the image files below a folder
    parquet:PATH                     a Parquet file of photos
    folder:URL, parquet:URL          the same on any file system that fsspec knows: s3://..., memory://...
    dataset:NAME                     a fetched public dataset

Keys: split=NAME, scene=NAME (photos of that split, of that scene), limit=N (the first N of those). Values are taken
literally. The part after the last `?` is the keys, so a path that contains `?` needs a key behind it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clc.errors import SourceError
from clc.images.datasets.fetched import DatasetSource
from clc.images.photo import EncodedPhoto, PhotoSource
from clc.images.sources.bundled import BundledSource
from clc.images.sources.folder import FolderSource
from clc.images.sources.parquet import ParquetSource
from clc.images.sources.remote_folder import RemoteFolderSource, is_url, local_path

_KEYS = ("split", "scene", "limit")


def open_source(spec: str) -> PhotoSource:
    """The photo source that `spec` describes (grammar: module docstring). Photos are read when it is iterated.

    >>> [photo.image_id for photo in open_source("bundled?split=test").encoded()]
    ['chelsea', 'motorcycle_right']

    Raises SourceError for an unknown kind or key, a bad value, or a source that is not there. Iterating raises
    SourceError too if the selection holds no photo.
    """
    location, _, options = spec.rpartition("?") if "?" in spec else (spec, "", "")
    kind, _, where = location.partition(":")
    if kind not in _KINDS:
        raise SourceError(f"{spec}: unknown kind of source {kind!r}; the kinds are: {', '.join(_KINDS)}")
    keys = _parse_keys(spec, options)
    return SelectedPhotos(
        spec,
        _KINDS[kind](where),
        split=keys.get("split"),
        scene=keys.get("scene"),
        limit=_parse_limit(spec, keys["limit"]) if "limit" in keys else None,
    )


@dataclass(frozen=True)
class SelectedPhotos:
    """The photos of another source that have the given split and scene, at most `limit`, in the same order."""

    spec: str
    photos: PhotoSource
    split: str | None = None
    scene: str | None = None
    limit: int | None = None

    def encoded(self, start: int = 0, stop: int | None = None) -> Iterator[EncodedPhoto]:
        """Raises SourceError if no photo is selected, saying which splits and scenes there are."""
        if self.split is None and self.scene is None and start > 0:
            # Nothing has to be looked at to know that it comes first; the source itself can pass over it.
            yield from self.photos.encoded(start, _earlier(stop, self.limit))
        else:
            yield from islice(self._selected(), start, stop)

    def _selected(self) -> Iterator[EncodedPhoto]:
        selected = 0
        splits: set[str | None] = set()
        scenes: set[str | None] = set()
        for photo in self.photos.encoded():
            splits.add(photo.split)
            scenes.add(photo.scene)
            if self.split not in (None, photo.split) or self.scene not in (None, photo.scene):
                continue
            yield photo
            selected += 1
            if selected == self.limit:
                return
        if selected == 0:
            raise SourceError(self._why_empty(splits, scenes))

    def _why_empty(self, splits: set[str | None], scenes: set[str | None]) -> str:
        if not splits:
            return f"{self.spec}: there are no photos"
        for key, wanted, found in (("split", self.split, splits), ("scene", self.scene, scenes)):
            names = sorted(name for name in found if name is not None)
            if wanted is not None and wanted not in names:
                there_are = f"there are: {', '.join(names)}" if names else f"its photos have no {key}"
                return f"{self.spec}: no photo has the {key} {wanted!r}; {there_are}"
        return f"{self.spec}: no photo has both that split and that scene"


def _earlier(stop: int | None, limit: int | None) -> int | None:
    stops = [position for position in (stop, limit) if position is not None]
    return min(stops, default=None)


def _parse_keys(spec: str, options: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for option in options.split("&") if options else []:
        key, _, value = option.partition("=")
        if key not in _KEYS:
            raise SourceError(f"{spec}: unknown key {key!r}; the keys are: {', '.join(_KEYS)}")
        if not value or key in keys:
            raise SourceError(f"{spec}: write {key} once, as {key}=VALUE")
        keys[key] = value
    return keys


def _parse_limit(spec: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise SourceError(f"{spec}: limit must be a whole number of at least 1, not {value!r}")
    return int(value)


def _bundled(where: str) -> PhotoSource:
    if where:
        raise SourceError(f"bundled:{where}: bundled takes no path; write `bundled`")
    return BundledSource()


def _folder(where: str) -> PhotoSource:
    folder = _path("folder", where)
    if folder is None:
        return RemoteFolderSource(where)
    if not folder.is_dir():
        raise SourceError(f"folder:{where}: there is no such folder")
    return FolderSource(folder)


def _parquet(where: str) -> PhotoSource:
    path = _path("parquet", where)
    if path is None:
        return ParquetSource(where)
    if path.is_dir():
        raise SourceError(f"parquet:{where}: is a folder; name one of its files")
    if not path.is_file():
        raise SourceError(f"parquet:{where}: there is no such file")
    return ParquetSource(path)


def _path(kind: str, where: str) -> Path | None:
    """The path that is named, also by a URL; None for a URL of another file system."""
    if not where:
        raise SourceError(f"{kind}: lacks a path; write {kind}:PATH")
    if is_url(where):
        return local_path(where, f"{kind}:{where}")
    try:
        return Path(where).expanduser()  # a shell does not expand the ~ behind the colon
    except RuntimeError as error:
        raise SourceError(f"{kind}:{where}: there is no such user; write the whole path") from error


_KINDS: dict[str, Callable[[str], PhotoSource]] = {
    "bundled": _bundled,
    "folder": _folder,
    "parquet": _parquet,
    "dataset": DatasetSource,
}
