"""Drift: how far the photos that came since a dictionary was built are from its entries."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clc.dictionary.dictionary import Dictionary
from clc.dictionary.retrieval.queries import Query
from clc.dictionary.stages.features import vectors_of
from clc.dictionary.stages.patches import CropConfig
from clc.errors import DictionaryError
from clc.images import Photo, PhotoSource, SkippedPhoto, fingerprint, grid_positions, is_flat, read_photos
from clc.images.patch import pixels_sha256
from clc.production.promotion import patches_of
from clc.store import Kind, Store, Version

_QUANTILES = (0.1, 0.5, 0.9)
_BASELINE_PATCHES = 4096
_BATCH_ROWS = 4096


class Rebuild(StrEnum):
    """When a scheduled run builds a new dictionary."""

    ALWAYS = "always"  # whenever the photos changed at all
    ABOVE = "above"  # when the drift is above the threshold


class DriftConfig(BaseModel):
    """When drift makes a new dictionary worth its training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rebuild: Rebuild = Rebuild.ALWAYS
    threshold: float = Field(
        default=1.1, gt=0, description="drift above which a new dictionary is built; 1: as near as the old photos"
    )


@dataclass(frozen=True)
class Drift:
    """Distances to the nearest entry, of windows of new photos and of the dictionary's own patches.

    Own patches are compared with the entries of other photos only, as a new photo is. new, own: the 10 %, 50 % and 90 %
    quantiles; None without new photos.
    """

    photos: int
    windows: int
    new: tuple[float, ...] | None
    own: tuple[float, ...] | None

    @property
    def ratio(self) -> float | None:
        """Median distance of new photos over that of the dictionary's own; None without new photos."""
        if self.new is None or self.own is None:
            return None
        return self.new[1] / self.own[1] if self.own[1] > 0 else float("inf")

    def asks_for_rebuild(self, config: DriftConfig) -> bool:
        """Whether a run is to build a new dictionary."""
        return config.rebuild is Rebuild.ALWAYS or (self.ratio is not None and self.ratio > config.threshold)

    def __str__(self) -> str:
        ratio = "none" if self.ratio is None else f"{self.ratio:.3f}"
        return f"drift={ratio} new_photos={self.photos} windows={self.windows}"


def measure_drift(
    photos: PhotoSource, dictionary: Version, *, crop: CropConfig, store: Store, backbone: str | None = None
) -> Drift:
    """Look up every window of the photos that the dictionary was not built from.

    backbone: what new dictionaries are built with; used if it is that of this one, which may have named it otherwise.
    Raises SourceError if the photos cannot be read, MissingArtifactError if the store no longer holds the patches or
    keys that the dictionary was made from, DictionaryError if its features cannot be computed.
    """
    patches = patches_of(dictionary, store)
    if patches.manifest.recipe.inputs["photos"] == f"photos/{fingerprint(photos)}":
        return Drift(0, 0, None, None)
    known = set(patches.table("photos", columns=["photo_sha256"])["photo_sha256"].to_pylist())
    opened = _opened(dictionary, backbone)
    skipped: list[SkippedPhoto] = []
    distances: list[NDArray[np.float32]] = []
    for photo in read_photos(photos, skipped):
        if pixels_sha256(photo.pixels) in known:
            continue
        windows = list(_windows(photo, opened.patch_size, crop.min_contrast))
        if windows:
            distances.append(opened.nearest(np.stack(windows), 1, [Query.IDENTITY])[1][:, 0])
    if not distances:
        return Drift(0, 0, None, None)
    return Drift(
        photos=len(distances),
        windows=sum(map(len, distances)),
        new=_quantiles(np.concatenate(distances)),
        own=_quantiles(_own_distances(dictionary, patches, opened, store)),
    )


def _opened(dictionary: Version, backbone: str | None) -> Dictionary:
    try:
        return Dictionary(dictionary, backbone)
    except DictionaryError:  # from now on another one is asked for
        return Dictionary(dictionary)


def _own_distances(dictionary: Version, patches: Version, opened: Dictionary, store: Store) -> NDArray[np.float32]:
    """From patches of the dictionary's photos, evenly chosen, to the nearest entry of another photo."""
    reduced = store.get(Kind.REDUCED, dictionary.manifest.recipe.inputs["reduced"])
    chosen = np.unique(np.linspace(0, patches.rows("patches") - 1, _BASELINE_PATCHES).astype(int))
    sources = _rows(patches, "patches", "photo_sha256", chosen).to_pylist()
    keys = vectors_of(_rows(reduced, "keys", "key", chosen))
    try:
        return opened.search(keys, 1, sources)[1][:, 0]
    except DictionaryError:  # all entries are from one photo
        return opened.search(keys, 1)[1][:, 0]


def _rows(version: Version, table: str, column: str, chosen: NDArray[np.int64]) -> pa.ChunkedArray:
    """The chosen rows, ascending, of a column that need not fit into memory."""
    parts: list[pa.Array] = []
    first = 0
    for batch in version.batches(table, [column], batch_rows=_BATCH_ROWS):
        start, stop = np.searchsorted(chosen, [first, first + len(batch)])
        parts.append(batch[column].take(pa.array(chosen[start:stop] - first)))
        first += len(batch)
    return pa.chunked_array(parts)


def _windows(photo: Photo, size: int, min_contrast: float) -> Iterator[NDArray[np.uint8]]:
    height, width = photo.pixels.shape[:2]
    for x, y in grid_positions(height, width, size=size, stride=size):
        window = photo.pixels[y : y + size, x : x + size]
        if not is_flat(window, min_contrast):
            yield window


def _quantiles(values: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, _QUANTILES))
