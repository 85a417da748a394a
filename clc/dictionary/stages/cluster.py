"""Stage `cluster`: keys → K clusters and their representatives d_j (paper §3.2 (1))."""

import logging
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator
from threadpoolctl import threadpool_limits

from clc.dictionary.stages.duplicates import find_distinct
from clc.dictionary.stages.features import vector_schema, vector_table, vectors_of
from clc.dictionary.stages.stable import Candidates, Earlier, say_what_stays, steadiest
from clc.errors import MissingArtifactError, TooFewPatchesError
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_BATCH_ROWS = 8192
_START_ROWS_PER_CLUSTER = 3


class ClusterConfig(BaseModel):
    """How many entries the dictionary should have and how they are found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entries: Annotated[int, Field(ge=1)] | None = Field(
        default=3000,
        description="clusters asked for; empty ones are dropped. None, or all: every distinct patch is one",
    )
    near_duplicates: float | None = Field(
        default=0.1,
        ge=0,
        description="patches whose keys are this near, as a share of the keys' root mean square norm, count once; "
        "None keeps all",
    )
    passes: int = Field(default=5, ge=1, description="passes of MiniBatchKMeans over the keys")
    seed: int = Field(default=0, ge=0)
    stable: float = Field(
        default=0.01,
        ge=0,
        description="keep entries of the dictionary before as long as squared distances of patches to their entries "
        "grow by at most this share",
    )

    @field_validator("entries", mode="before")
    @classmethod
    def _all(cls, entries: object) -> object:
        return None if entries == "all" else entries  # TOML has no null


def cluster(
    reduced: Version,
    *,
    config: ClusterConfig,
    store: Store,
    earlier: Earlier | None = None,
    force: bool = False,
) -> StageResult:
    """MiniBatchKMeans over the keys; of each cluster, the member nearest to the centroid represents it.

    Result: table `clusters`, one row an entry (centroid, representative = row of its patch, size, radius), in the order
    of the representatives; table `members`, one row a patch (entry, distance to the centroid), with entry -1 for
    near-duplicates, which take no part. The actual K can be smaller than asked for: clusters without a member, as equal
    patches cause them, are dropped, and there are never more clusters than distinct patches. Ties go to the patch that
    comes first. earlier: a dictionary whose entries are kept where that costs little; it counts for the recipe, unless
    it came from the same keys. Raises TooFewPatchesError if there are fewer patches than entries.
    """
    rows = reduced.rows("keys")
    if config.entries is not None and rows < config.entries:
        raise TooFewPatchesError(
            f"{rows} patches cannot form {config.entries} clusters; use more photos or crops, or fewer entries"
        )
    recipe = Recipe(
        stage="cluster",
        stage_version=3,
        config=config.model_dump(mode="json", exclude={"stable"}),
        inputs={"reduced": reduced.ref},
    )
    if earlier is not None and config.entries is not None:
        before = _clusters_of(earlier.dictionary, store)
        same = before is not None and _by_themselves(before.manifest.recipe) == recipe
        if before is not None and same and not force and store.find(before.manifest.recipe) is not None:
            recipe = before.manifest.recipe  # the same work: its outcome is what there is to keep
        else:
            recipe = recipe.model_copy(
                update={
                    "config": recipe.config | {"stable": config.stable},
                    "inputs": recipe.inputs | {"earlier": earlier.dictionary.ref},
                }
            )

    def build(draft: Draft) -> None:
        distinct = np.ones(rows, dtype=bool)
        if config.near_duplicates is not None:
            distinct = find_distinct(lambda: _batches(reduced), rows, config.near_duplicates, config.seed)
        # One thread, so that sums, and with them the version's id, do not depend on the machine's cores.
        with threadpool_limits(1):
            centroids = _fit(reduced, distinct, config)
            labels, distances = _assign(reduced, centroids)
            if earlier is not None and recipe.inputs.get("earlier") == earlier.dictionary.ref:
                afresh = _represent(labels, distances, distinct)[1]
                there, candidates = earlier.rows(), Candidates(lambda: _batches(reduced), distinct)
                kept = steadiest(candidates, afresh, there, len(centroids), config.stable)
                centroids = candidates.keys(kept)  # each entry stands for the patches that are nearest to it
                labels, distances = _assign(reduced, centroids)
                draft.statistics |= _said(earlier, there, kept)
        used, representatives, entry = _represent(labels, distances, distinct)
        sizes = np.bincount(entry[distinct])
        radii = np.zeros(len(used), dtype=np.float32)
        np.maximum.at(radii, entry[distinct], distances[distinct])
        cluster_schema = vector_schema(
            "centroid",
            centroids.shape[1],
            pa.field("representative", pa.int64()),
            pa.field("size", pa.int64()),
            pa.field("radius", pa.float32()),
        )
        with draft.table("clusters", cluster_schema) as table:
            table.write(
                vector_table(cluster_schema, centroids[used], representative=representatives, size=sizes, radius=radii)
            )
        member_schema = pa.schema([("entry", pa.int32()), ("distance", pa.float32())])
        with draft.table("members", member_schema) as table:
            table.write(pa.table([pa.array(entry, pa.int32()), pa.array(distances)], schema=member_schema))
        near_duplicates = rows - int(distinct.sum())
        draft.attributes |= {"entries": len(used)}
        draft.statistics |= {
            "patches": rows,
            "near_duplicates": near_duplicates,
            "empty_clusters": len(centroids) - len(used),
            "largest_cluster": int(sizes.max()),
        }
        logger.info(
            "stage=cluster entries=%d near_duplicates=%d empty=%d",
            *(len(used), near_duplicates, len(centroids) - len(used)),
        )

    return run_stage(store, Kind.CLUSTERS, recipe, build, force=force)


def _represent(
    labels: NDArray[np.int64], distances: NDArray[np.float32], distinct: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Centroids in use and their representatives' rows, both in the order of these rows, and each row's entry or -1."""
    rows = np.flatnonzero(distinct)
    order = rows[np.lexsort((rows, distances[rows], labels[rows]))]
    used, first = np.unique(labels[order], return_index=True)
    # Entries follow their patches, so that later stages can pick the pictures up in one pass.
    by_patch = np.argsort(order[first])
    entries = np.full(labels.max() + 1, -1)
    entries[used[by_patch]] = np.arange(len(used))
    return used[by_patch], order[first][by_patch], np.where(distinct, entries[labels], -1)


def _said(earlier: Earlier, there: NDArray[np.int64], entries: NDArray[np.int64]) -> dict[str, JsonValue]:
    kept = len(np.intersect1d(there, entries))
    say_what_stays(kept, len(entries), earlier.count, earlier.new_patches())
    return {"earlier": earlier.dictionary.id, "kept": kept, "replaced": earlier.count - kept}


def _clusters_of(dictionary: Version, store: Store) -> Version | None:
    """Those that it was made from, if the store still has them."""
    try:
        return store.get(Kind.CLUSTERS, dictionary.manifest.recipe.inputs["clusters"])
    except MissingArtifactError:
        return None


def _by_themselves(recipe: Recipe) -> Recipe:
    """As it would be without an earlier dictionary."""
    config = {name: value for name, value in recipe.config.items() if name != "stable"}
    inputs = {role: reference for role, reference in recipe.inputs.items() if role != "earlier"}
    return recipe.model_copy(update={"config": config, "inputs": inputs})


def _fit(reduced: Version, distinct: NDArray[np.bool_], config: ClusterConfig) -> NDArray[np.float32]:
    """Centroids float32 [K, dim] of the distinct patches."""
    if config.entries is None:
        return np.concatenate(list(_chosen(reduced, distinct)))
    from sklearn.cluster import MiniBatchKMeans  # takes seconds, which a stage that was done before need not wait for

    entries = min(config.entries, int(distinct.sum()))
    means = MiniBatchKMeans(
        entries,
        random_state=config.seed,
        n_init=1,
        batch_size=_BATCH_ROWS,
        # k-means++ visits all of these for every centroid: scikit-learn's default takes minutes for thousands.
        init_size=max(_BATCH_ROWS, _START_ROWS_PER_CLUSTER * entries),
    )
    # The first batch places the centroids, so it must be a sample of everything and hold at least K rows.
    means.partial_fit(_sample(reduced, distinct, entries, config.seed))
    for _ in range(config.passes):
        for keys in _chosen(reduced, distinct):
            means.partial_fit(keys)
    centroids: NDArray[np.float32] = means.cluster_centers_.astype(np.float32)
    return centroids


def _sample(reduced: Version, distinct: NDArray[np.bool_], entries: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(distinct))[: entries * _START_ROWS_PER_CLUSTER]
    keep = np.zeros_like(distinct)
    keep[rows] = True
    return np.concatenate(list(_chosen(reduced, keep)))


def _chosen(reduced: Version, keep: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    """The keys of the rows to keep [N], in batches that are not empty."""
    start = 0
    for keys in _batches(reduced):
        chosen = keys[keep[start : start + len(keys)]]
        start += len(keys)
        if len(chosen):
            yield chosen


def _assign(reduced: Version, centroids: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest centroid of each key and the distance to it."""
    labels, distances = [], []
    norms = np.square(centroids, dtype=np.float64).sum(axis=1).astype(np.float32)
    for keys in _batches(reduced):
        nearest = (norms - 2.0 * keys @ centroids.T).argmin(axis=1)
        labels.append(nearest)
        distances.append(np.linalg.norm(keys.astype(np.float64) - centroids[nearest], axis=1).astype(np.float32))
    return np.concatenate(labels), np.concatenate(distances)


def _batches(reduced: Version) -> Iterator[NDArray[np.float32]]:
    for batch in reduced.batches("keys", batch_rows=_BATCH_ROWS):
        yield vectors_of(batch.column("key"))
