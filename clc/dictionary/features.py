"""Stage `features`: patches → v = SPP(f_θ(patch)) (paper §3.2 (1))."""

import logging
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from clc.ahead import ahead
from clc.codec.tiles import to_tensor
from clc.dictionary.backbone import open_backbone
from clc.images.patch import decode_patches
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_PATCHES_AT_A_TIME = 32


class FeatureConfig(BaseModel):
    """What a patch is described by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str = Field(
        default="imagenet", description="imagenet, file:PATH, random:SEED, codec:MODEL or hog (see `open_backbone`)"
    )
    levels: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        default=(1, 2, 4), min_length=1, description="SPP grid sizes"
    )


def spatial_pyramid_pool(feature_map: Tensor, levels: tuple[int, ...]) -> Tensor:
    """[B, C, h, w] → [B, C · Σ level²]: means over level × level grids, one level after the other (paper §3.2)."""
    return torch.cat([F.adaptive_avg_pool2d(feature_map, level).flatten(1) for level in levels], dim=1)


class FeatureExtractor:
    """Patches → SPP features. Raises what `open_backbone` raises."""

    def __init__(self, config: FeatureConfig, store: Store | None = None) -> None:
        self.backbone = open_backbone(config.backbone, store)
        self._levels = config.levels
        self.dimension = self.backbone.channels * sum(level**2 for level in config.levels)

    @torch.inference_mode()
    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [B, H, W, 3] → float32 [B, dimension]."""
        starts = range(0, len(patches), _PATCHES_AT_A_TIME)  # a large photo has hundreds of tiles
        return np.concatenate([self._features(patches[i : i + _PATCHES_AT_A_TIME]) for i in starts])

    def _features(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = spatial_pyramid_pool(self.backbone(to_tensor(patches)), self._levels).numpy()
        return features


def extract(
    patches: Version, *, config: FeatureConfig, store: Store, batch_size: int = 32, force: bool = False
) -> StageResult:
    """Features of every patch: rows of float32[dimension], in the order of the patches. Streams row groups."""
    extractor = FeatureExtractor(config, store)
    backbone = extractor.backbone
    recipe = Recipe(
        stage="features",
        stage_version=1,
        # Not the path of a weights file, which may move, but what it contains.
        config={"backbone": backbone.fingerprint, "levels": list(config.levels)},
        inputs={"patches": patches.ref, **backbone.inputs},
    )
    schema = vector_schema("feature", extractor.dimension)

    def build(draft: Draft) -> None:
        with draft.table("features", schema) as table:
            for pixels in ahead(patch_batches(patches, batch_size)):
                table.write(vector_table(schema, extractor(pixels)))
        draft.attributes |= {"backbone": backbone.fingerprint, "levels": list(config.levels)}
        draft.statistics |= {"backbone": backbone.spec}

    return run_stage(store, Kind.FEATURES, recipe, build, force=force)


def patch_batches(patches: Version, batch_size: int) -> Iterator[NDArray[np.uint8]]:
    """Decoded patches, uint8 [≤ batch_size, H, W, 3], in order."""
    for batch in patches.batches("patches", columns=["image"], batch_rows=batch_size):
        yield decode_patches(batch.column("image"))


def vector_schema(name: str, dimension: int, *others: pa.Field) -> pa.Schema:
    """A schema whose first column `name` is FixedSizeList<float32>[dimension]."""
    return pa.schema([pa.field(name, pa.list_(pa.float32(), dimension)), *others])


def vector_table(schema: pa.Schema, vectors: NDArray[np.float32], **columns: object) -> pa.Table:
    """A table of `schema` from vectors [n, dimension] and its other columns."""
    return pa.table(
        [vector_array(vectors), *(pa.array(columns[f.name], f.type) for f in list(schema)[1:])], schema=schema
    )


def vector_array(vectors: NDArray[np.float32]) -> pa.Array:
    """float32 [n, d] → FixedSizeList<float32>[d]."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def vectors_of(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """The inverse of `vector_array`: float32 [n, d]."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), -1)
