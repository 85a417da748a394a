"""Stage `assignments`: for every window of the training photos, the dictionary entries that serve as its references."""

import logging

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clc.dictionary.dictionary import Dictionary
from clc.dictionary.retrieval.queries import RetrievalConfig
from clc.errors import DictionaryError
from clc.images import PhotoSource, SkippedPhoto, fingerprint, grid_positions, read_photos
from clc.images.patch import pixels_sha256
from clc.runtime.prefetch import prefetched
from clc.store import Draft, Kind, Recipe, StageResult, Store, run_stage

logger = logging.getLogger(__name__)


def assign(
    photos: PhotoSource,
    dictionary: Dictionary,
    *,
    references: int,
    retrieval: RetrievalConfig,
    store: Store,
    force: bool = False,
) -> StageResult:
    """Retrieve `references` entries for every window, the nearest that are not from the window's own photo.

    Windows have the size of a patch and lie on a grid that covers each photo; smaller photos have none. There is no
    attention yet to choose among the nearest: it is trained from here. Table `assignments`, one row a window: image_id,
    photo_sha256, x, y, entries FixedSizeList<int32>[M] and their distances.
    Raises SourceError if the photos cannot be read, DictionaryError if the dictionary is too small or no photo is large
    enough.
    """
    recipe = Recipe(
        stage="assignments",
        stage_version=4,
        config={"references": references, "retrieval": retrieval.model_dump(mode="json")},
        inputs={"photos": f"photos/{fingerprint(photos)}", "dictionary": dictionary.version.ref},
    )
    schema = pa.schema(
        [
            pa.field("image_id", pa.string()),
            pa.field("photo_sha256", pa.string()),
            pa.field("x", pa.int32()),
            pa.field("y", pa.int32()),
            pa.field("entries", pa.list_(pa.int32(), references)),
            pa.field("distances", pa.list_(pa.float32(), references)),
        ]
    )
    size = dictionary.patch_size

    def build(draft: Draft) -> None:
        skipped: list[SkippedPhoto] = []
        too_small: list[str] = []
        nearest: list[NDArray[np.float32]] = []
        with draft.table("assignments", schema) as table:
            for photo in prefetched(read_photos(photos, skipped)):
                positions = grid_positions(*photo.pixels.shape[:2], size=size, stride=size)
                if not positions:
                    too_small.append(photo.image_id)
                    continue
                windows = np.stack([photo.pixels[y : y + size, x : x + size] for x, y in positions])
                sha256 = pixels_sha256(photo.pixels)
                own = [sha256] * len(windows)
                entries, distances = dictionary.nearest(windows, references, retrieval.queries, own)
                columns = [
                    pa.array([photo.image_id] * len(windows)),
                    pa.array(own),
                    *(pa.array(coordinates, pa.int32()) for coordinates in zip(*positions, strict=True)),
                    _lists(entries, pa.int32()),
                    _lists(distances, pa.float32()),
                ]
                table.write(pa.table(columns, schema=schema))
                nearest.append(distances[:, 0])
        if not nearest:
            raise DictionaryError(
                f"{photos.spec}: no photo has {size}×{size} pixels ({len(too_small)} are smaller, {len(skipped)} "
                "cannot be read); use larger photos"
            )
        draft.attributes |= {"references": references, "retrieval": retrieval.model_dump(mode="json")}
        draft.statistics |= {
            "median_distance": float(np.median(np.concatenate(nearest))),
            "photos": len(nearest),
            "too_small_photos": too_small,
            "skipped_photos": [{"image_id": s.image_id, "reason": s.reason} for s in skipped],
        }
        windows = sum(map(len, nearest))
        logger.info("stage=assignments photos=%d windows=%d references=%d", len(nearest), windows, references)

    return run_stage(store, Kind.ASSIGNMENTS, recipe, build, force=force)


def _lists(values: NDArray[np.generic], type: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), type), values.shape[1])
