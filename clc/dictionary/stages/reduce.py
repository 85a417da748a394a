"""Stage `reduce`: SPP features → their leading principal components (paper §3.2 (1))."""

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import threadpool_limits

from clc.dictionary.stages.features import vector_schema, vector_table, vectors_of
from clc.errors import DictionaryError
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_BATCH_ROWS = 512  # IncrementalPCA needs several times their memory
_SMALLEST_DEVIATION = 1e-6  # of the largest


class ReduceConfig(BaseModel):
    """How keys are made from features."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(default=256, ge=1, description="dimension of a key, at most")
    whiten: bool = Field(default=False, description="scale all components to variance 1")


class Basis:
    """A PCA basis: mean [D], components [dim, D] and explained variance ratio [dim], all float32.

    Components have length 1, or, of whitened keys, one over the deviation along them.
    """

    def __init__(self, tensors: dict[str, NDArray[np.float32]]) -> None:
        self.tensors = tensors

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features float32 [n, D] → keys float32 [n, dim]."""
        # One thread: BLAS sums in another order with two, and a key must not depend on the machine's load.
        with threadpool_limits(1):
            return (features - self.tensors["mean"]) @ self.tensors["components"].T


def reduce(features: Version, *, config: ReduceConfig, store: Store, force: bool = False) -> StageResult:
    """Project features onto their `config.dim` leading principal components, or as many as there are patches.

    features: rows of float32[D]; result: rows of float32[dim] plus the basis. Streams row groups: memory does not
    grow with the number of patches. Raises DictionaryError if a feature has fewer values than `config.dim`.
    """
    rows = features.rows("features")
    dimension = features.schema("features").field("feature").type.list_size
    if dimension < config.dim:
        raise DictionaryError(
            f"features of {dimension} values have no {config.dim} principal components; set dim to at most {dimension}"
        )
    dim = min(config.dim, rows)  # so many patches span no more: nothing is lost
    recipe = Recipe(
        stage="reduce", stage_version=1, config=config.model_dump(mode="json"), inputs={"features": features.ref}
    )

    def build(draft: Draft) -> None:
        basis = _fit(features, dim, config.whiten)
        schema = vector_schema("key", dim)
        with draft.table("keys", schema) as table:
            for batch in _batches(features, dim):
                table.write(vector_table(schema, basis.project(batch)))
        draft.tensors("basis", basis.tensors)
        draft.attributes |= {"dim": dim, **features.attributes}
        explained = float(basis.tensors["explained_variance_ratio"].sum())
        draft.statistics |= {"explained_variance": explained, "backbone": features.statistics["backbone"]}
        logger.info("stage=reduce dim=%d explained_variance=%.4f", dim, explained)

    return run_stage(store, Kind.REDUCED, recipe, build, force=force)


def _fit(features: Version, dim: int, whiten: bool) -> Basis:
    from sklearn.decomposition import IncrementalPCA  # takes seconds, see `clc.dictionary.stages.cluster`

    pca = IncrementalPCA(n_components=dim)
    with threadpool_limits(1), np.errstate(invalid="ignore"):  # no variance at all: 0/0, mended below
        for batch in _batches(features, dim):
            pca.partial_fit(batch)
    components = pca.components_
    if whiten:
        deviation = np.sqrt(pca.explained_variance_)
        varied = deviation > deviation.max() * _SMALLEST_DEVIATION  # the others are rounding errors
        components = np.where(varied, 1.0 / np.where(varied, deviation, 1.0), 0.0)[:, None] * components
    return Basis(
        {
            "mean": pca.mean_.astype(np.float32),
            "components": components.astype(np.float32),
            # 0/0 where all patches are alike
            "explained_variance_ratio": np.nan_to_num(pca.explained_variance_ratio_).astype(np.float32),
        }
    )


def _batches(features: Version, dim: int) -> Iterator[NDArray[np.float32]]:
    """Batches of at least `dim` rows, which IncrementalPCA demands, also at the end."""
    pending: list[NDArray[np.float32]] = []
    wanted = max(_BATCH_ROWS, 2 * dim)
    for batch in features.batches("features", batch_rows=wanted):
        pending.append(vectors_of(batch.column("feature")))
        if sum(map(len, pending)) >= wanted + dim:
            joined = np.concatenate(pending)
            yield joined[:wanted]
            pending = [joined[wanted:]]
    yield np.concatenate(pending)
