"""Stage `assignments`: for every training crop, the dictionary entries that serve as its references."""

import logging

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clc.ahead import ahead
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.features import patch_batches
from clc.dictionary.retrieve import RetrievalConfig
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_BATCH_ROWS = 32


def assign(
    crops: Version,
    dictionary: Dictionary,
    *,
    references: int,
    retrieval: RetrievalConfig,
    store: Store,
    force: bool = False,
) -> StageResult:
    """Retrieve `references` entries for every crop, the nearest that are not from the crop's own photo.

    A crop larger than a patch is queried by its centre. There is no attention yet to choose among the nearest: it is
    trained from here. Table `assignments`, one row a crop, in order: entries
    FixedSizeList<int32>[M] and their distances. Raises DictionaryError if the dictionary is too small.
    """
    recipe = Recipe(
        stage="assignments",
        stage_version=2,
        config={"references": references, "retrieval": retrieval.model_dump(mode="json")},
        inputs={"crops": crops.ref, "dictionary": dictionary.version.ref},
    )
    schema = pa.schema(
        [
            pa.field("entries", pa.list_(pa.int32(), references)),
            pa.field("distances", pa.list_(pa.float32(), references)),
        ]
    )

    def build(draft: Draft) -> None:
        photos = crops.table("patches", columns=["photo_sha256"])["photo_sha256"].to_pylist()
        start, nearest = 0, []
        with draft.table("assignments", schema) as table:
            for pixels in ahead(patch_batches(crops, _BATCH_ROWS)):
                pictures = centre(pixels, dictionary.patch_size)
                own_photos = photos[start : start + len(pixels)]
                entries, distances = dictionary.nearest(pictures, references, retrieval.queries, own_photos)
                table.write(pa.table([_lists(entries, pa.int32()), _lists(distances, pa.float32())], schema=schema))
                nearest.append(distances[:, 0])
                start += len(pixels)
        draft.attributes |= {"references": references, "retrieval": retrieval.model_dump(mode="json")}
        draft.statistics |= {"median_distance": float(np.median(np.concatenate(nearest)))}
        logger.info("stage=assignments crops=%d references=%d", start, references)

    return run_stage(store, Kind.ASSIGNMENTS, recipe, build, force=force)


def centre(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle size × size pixels of [n, H, W, 3]; smaller crops are returned as they are."""
    top, left = (max(0, (side - size) // 2) for side in pixels.shape[1:3])
    return pixels[:, top : top + size, left : left + size]


def _lists(values: NDArray[np.generic], type: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), type), values.shape[1])
