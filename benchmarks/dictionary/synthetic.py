"""Synthetic patches and features in any number, streamed into a store: what is measured on them is speed and memory.

Points are clustered as features of photos are: thousands of Gaussians of unequal weight, whose spectrum decays.
"""

import shutil
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clc.dictionary.stages.features import vector_schema, vector_table
from clc.dictionary.stages.patches import PATCH_SCHEMA
from clc.images.patch import encode_patch, pixels_sha256
from clc.store import Kind, Recipe, Store, Version

POINT_DIMENSION = 256

_GAUSSIANS = 4000
_DECAY = 0.6  # the i-th direction has deviation i^-0.6
_SPREAD = 0.5  # of a Gaussian, against that of the centres
_NOISE = 0.02
_CHUNK_BYTES = 32 << 20
_PATCH_ROWS = 8192
_PATCH_SIZE = 16
_PATCHES_PER_PHOTO = 10


def require_space(folder: str, size: int) -> None:
    """End the program if a folder's disk has less than `size` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < size:
        sys.exit(f"this needs {size / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f}; set TMPDIR or --rows")


def publish_features(store: Store, rows: int, dimension: int) -> Version:
    """A features version of `rows` clustered vectors float32[dimension], the same for the same arguments.

    256 dimensions are the points themselves; any other number is a random linear image of them plus noise.
    """
    schema = vector_schema("feature", dimension)
    with store.draft(Kind.FEATURES, _recipe("features", rows=rows, dimension=dimension)) as draft:
        with draft.table("features", schema) as table:
            for vectors in _vectors(rows, dimension):
                table.write(vector_table(schema, vectors))
        draft.attributes |= {"backbone": "synthetic", "levels": [1]}
        draft.statistics |= {"backbone": "synthetic"}
        return draft.publish()


def publish_patches(store: Store, rows: int) -> Version:
    """A patches version of `rows` patches, ten a photo, that all show one tiny grey square."""
    pixels = np.full((_PATCH_SIZE, _PATCH_SIZE, 3), 128, dtype=np.uint8)
    same = {"source": "synthetic", "licence": "none", "x": 0, "y": 0}
    same |= {"pixels_sha256": pixels_sha256(pixels), "image": encode_patch(pixels)}
    with store.draft(Kind.PATCHES, _recipe("crop", rows=rows)) as draft:
        with draft.table("patches", PATCH_SCHEMA) as table:
            for start in range(0, rows, _PATCH_ROWS):
                photos = [f"photo-{row // _PATCHES_PER_PHOTO}" for row in range(start, min(rows, start + _PATCH_ROWS))]
                columns = [
                    pa.repeat(pa.scalar(same[field.name], field.type), len(photos))
                    if field.name in same
                    else pa.array(photos, field.type)
                    for field in PATCH_SCHEMA
                ]
                table.write(pa.table(columns, schema=PATCH_SCHEMA))
        draft.attributes |= {"size": _PATCH_SIZE}
        draft.statistics |= {"photos": -(-rows // _PATCHES_PER_PHOTO), "patches": rows}
        return draft.publish()


def _recipe(stage: str, **config: int) -> Recipe:
    return Recipe(stage=stage, stage_version=1, config={"synthetic": True, **config})


def _vectors(rows: int, dimension: int) -> Iterator[NDArray[np.float32]]:
    """Vectors [≤ n, dimension], a few megabytes at a time."""
    generator = np.random.default_rng(0)
    deviations = np.arange(1, POINT_DIMENSION + 1, dtype=np.float32) ** -_DECAY
    centres = deviations * generator.standard_normal((_GAUSSIANS, POINT_DIMENSION), dtype=np.float32)
    weights = generator.exponential(size=_GAUSSIANS)
    directions = generator.standard_normal((POINT_DIMENSION, dimension), dtype=np.float32)
    chunk = max(1, _CHUNK_BYTES // (4 * dimension))
    for start in range(0, rows, chunk):
        size = min(chunk, rows - start)
        points = centres[generator.choice(_GAUSSIANS, size, p=weights / weights.sum())]
        points += _SPREAD * deviations * generator.standard_normal((size, POINT_DIMENSION), dtype=np.float32)
        if dimension == POINT_DIMENSION:
            yield points
        else:
            yield points @ directions + _NOISE * generator.standard_normal((size, dimension), dtype=np.float32)
