"""Stage `features`: patches → v = SPP(f_θ(patch)) (paper §3.2 (1))."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from clc.dictionary.backbone import open_backbone
from clc.errors import DictionaryError
from clc.images.patch import decode_patches
from clc.model.tiles import to_tensor
from clc.runtime.prefetch import in_parallel
from clc.stages.shards import Extent, Shard, Statistics, Workers, run_in_shards
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version

# What a convolution sums in which order depends on how many images it gets. So these are part of the result: batches
# begin at multiples of this number, whatever the row groups and shards.
_PATCHES_AT_A_TIME = 16
_BATCHES_PER_SHARD = 64  # about 200 MB of ResNet-50 features, and a minute or two on one core


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
    """Patches → SPP features. It is pickled as what it was opened by. Raises what `open_backbone` raises."""

    def __init__(self, config: FeatureConfig, store: Store | None = None) -> None:
        self.backbone = open_backbone(config.backbone, store)
        self._levels = config.levels
        self._store = None if store is None else store.url
        self.dimension = self.backbone.channels * sum(level**2 for level in config.levels)

    def __reduce__(self) -> tuple[Any, ...]:
        config = FeatureConfig(backbone=self.backbone.spec, levels=self._levels)
        return _reopened, (config, self._store, self.backbone.fingerprint)

    @torch.inference_mode()
    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [B, H, W, 3] → float32 [B, dimension]."""
        starts = range(0, len(patches), _PATCHES_AT_A_TIME)  # a large photo has hundreds of tiles
        return np.concatenate([self._features(patches[i : i + _PATCHES_AT_A_TIME]) for i in starts])

    def _features(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = spatial_pyramid_pool(self.backbone(to_tensor(patches)), self._levels).numpy()
        return features


@lru_cache(maxsize=1)
def _reopened(config: FeatureConfig, store: str | None, fingerprint: str) -> FeatureExtractor:
    """Once a process: opening the backbone takes as long as a dozen patches."""
    extractor = FeatureExtractor(config, None if store is None else Store(store))
    if extractor.backbone.fingerprint != fingerprint:
        raise DictionaryError(
            f"backbone {config.backbone} is {extractor.backbone.fingerprint} for a worker and {fingerprint} for who "
            "asked it; give all workers the same weights and the same version of CLC"
        )
    return extractor


def extract(
    patches: Version,
    *,
    config: FeatureConfig,
    store: Store,
    workers: Workers | None = None,
    force: bool = False,
) -> StageResult:
    """Features of every patch: rows of float32[dimension], in the order of the patches. Streams row groups.

    Every batch is computed on one thread, as many at once as PyTorch may use threads: with more, a convolution may sum
    in another order. Raises what `FeatureExtractor` and `run_in_shards` raise.
    """
    extractor = FeatureExtractor(config, store)
    backbone = extractor.backbone
    recipe = Recipe(
        stage="features",
        stage_version=2,
        # Not the path of a weights file, which may move, but what it contains.
        config={"backbone": backbone.fingerprint, "levels": list(config.levels)},
        inputs={"patches": patches.ref, **backbone.inputs},
    )

    def finish(draft: Draft, _statistics: Statistics) -> None:
        draft.attributes |= {"backbone": backbone.fingerprint, "levels": list(config.levels)}
        draft.statistics |= {"backbone": backbone.spec}

    return run_in_shards(
        store,
        Kind.FEATURES,
        recipe,
        _ExtractFeatures(patches, extractor),
        finish,
        extent=Extent(-(-patches.rows("patches") // _PATCHES_AT_A_TIME), _BATCHES_PER_SHARD),
        workers=workers,
        force=force,
    )


@dataclass(frozen=True)
class _ExtractFeatures:
    """The features of a shard's patches."""

    patches: Version
    extractor: FeatureExtractor

    def __call__(self, shard: Shard, draft: Draft) -> Statistics:
        rows = shard.rows(self.patches.rows("patches"), block=_PATCHES_AT_A_TIME)
        schema = vector_schema("feature", self.extractor.dimension)
        with draft.table("features", schema) as table, _threads_of_one() as threads:
            for features in threads(self.extractor, patch_batches(self.patches, rows)):
                table.write(vector_table(schema, features))
        return {}


@contextmanager
def _threads_of_one() -> Iterator[Any]:
    """`in_parallel` on as many threads as PyTorch may use, on each of which it computes alone."""
    count = torch.get_num_threads()
    try:
        yield partial(in_parallel, threads=count, prepare=partial(torch.set_num_threads, 1))
    finally:
        torch.set_num_threads(count)


def patch_batches(patches: Version, rows: range) -> Iterator[NDArray[np.uint8]]:
    """Decoded patches, uint8 [16, H, W, 3], in order; the last batch can be smaller."""
    batches = patches.batches("patches", columns=["image"], batch_rows=_PATCHES_AT_A_TIME, rows=rows)
    images = (image for batch in batches for image in batch.column("image"))
    while held := list(islice(images, _PATCHES_AT_A_TIME)):
        yield decode_patches(held)


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
