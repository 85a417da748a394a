"""Stage `index`: clusters, keys and patches → the dictionary (paper §3.2 (2))."""

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clc.dictionary.retrieval.search import FaissIndex, KeyBallTree
from clc.dictionary.stages.features import vector_array, vectors_of
from clc.dictionary.stages.patches import PATCH_SCHEMA
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)


class IndexConfig(BaseModel):
    """How the search structures are built."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leaf_size: int = Field(default=40, ge=1, description="keys in a leaf of the ball tree")
    exhaustive_up_to: int = Field(
        default=16_384, ge=0, description="dictionaries with more entries are searched by a graph, which is approximate"
    )


def index(
    clusters: Version, reduced: Version, patches: Version, *, config: IndexConfig, store: Store, force: bool = False
) -> StageResult:
    """Assemble the dictionary version: entries with keys and pictures, PCA basis, ball tree and FAISS index.

    Table `entries`, one row an entry: its patch (columns of `PATCH_SCHEMA`), key, centroid, cluster size and radius.
    """
    recipe = Recipe(
        stage="index",
        stage_version=3,
        config=config.model_dump(mode="json"),
        inputs={"clusters": clusters.ref, "reduced": reduced.ref, "patches": patches.ref},
    )

    def build(draft: Draft) -> None:
        table = clusters.table("clusters")
        representatives = table["representative"].to_numpy()
        keys = _select_keys(reduced, representatives)
        schema = pa.schema(
            [
                *PATCH_SCHEMA,
                pa.field("key", pa.list_(pa.float32(), keys.shape[1])),
                table.schema.field("centroid"),
                pa.field("cluster_size", pa.int64()),
                pa.field("cluster_radius", pa.float32()),
            ]
        )
        with draft.table("entries", schema) as entries:
            start = 0
            for rows in _select(patches, "patches", PATCH_SCHEMA.names, representatives):
                part = table.slice(start, len(rows))
                columns = [*rows.columns, vector_array(keys[start : start + len(rows)])]
                columns += [part["centroid"], part["size"], part["radius"]]
                entries.write(pa.table(columns, schema=schema))
                start += len(rows)
        tree = KeyBallTree.build(keys, config.leaf_size)
        for name, content in (
            ("faiss", FaissIndex.build(keys, graph=len(keys) > config.exhaustive_up_to).to_table()),
            ("ball_tree_order", tree.order_table()),
            ("ball_tree_nodes", tree.node_table()),
        ):
            with draft.table(name, content.schema) as writer:
                writer.write(content)
        draft.tensors("basis", reduced.tensors("basis"))
        draft.attributes |= {
            **reduced.attributes,
            "entries": len(keys),
            "leaf_size": config.leaf_size,
            "patch_size": patches.attributes["size"],
            "stride": patches.attributes["stride"],
        }
        draft.statistics |= {"photos": patches.statistics["photos"], "backbone": reduced.statistics["backbone"]}
        logger.info("stage=index entries=%d", len(keys))

    return run_stage(store, Kind.DICTIONARY, recipe, build, force=force)


def _select_keys(reduced: Version, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    batches = _select(reduced, "keys", ["key"], rows)
    return np.concatenate([vectors_of(batch.column("key")) for batch in batches])


def _select(version: Version, table: str, columns: list[str], rows: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """The given rows, ascending, of a table; one batch of it is in memory at a time."""
    start = 0
    for batch in version.batches(table, columns=columns):
        inside = rows[(rows >= start) & (rows < start + len(batch))]
        start += len(batch)
        if len(inside):
            yield batch.take(pa.array(inside - (start - len(batch))))
