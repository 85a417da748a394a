"""Search structures over the keys, and stage `index`, which assembles the dictionary (paper §3.2 (2)).

Both structures only propose candidates: distances are then recomputed in float64 and ties go to the lower entry, so
that either gives the same answer (unless more entries tie at the border than are proposed in addition).
"""

import logging
from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree

from clc.dictionary.features import vector_array, vectors_of
from clc.dictionary.patches import PATCH_SCHEMA
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage

logger = logging.getLogger(__name__)

_DERIVED = {"clc.identity": "derived"}  # both structures can be rebuilt from the keys
_ROWS_AT_A_TIME = 256
_ROUNDING = 1e-9


class SearchMethod(StrEnum):
    """Which structure answers queries."""

    FAISS = "faiss"
    BALL_TREE = "ball_tree"


class IndexConfig(BaseModel):
    """How the search structures are built."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leaf_size: int = Field(default=40, ge=1, description="keys in a leaf of the ball tree")


class SearchIndex(Protocol):
    """Proposes entries for queries."""

    def candidates(self, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        """About the `number` nearest entries [n, number] of queries [n, dim]."""
        ...

    def fits(self, keys: NDArray[np.float32]) -> bool:
        """Whether this is a search structure over exactly these keys [K, dim]."""
        ...


class FaissFlat:
    """Exhaustive search by FAISS."""

    def __init__(self, index: faiss.Index) -> None:
        self.index = index

    @classmethod
    def build(cls, keys: NDArray[np.float32]) -> "FaissFlat":
        """Over keys float32 [K, dim]."""
        index = faiss.IndexFlatL2(keys.shape[1])
        index.add(np.ascontiguousarray(keys))
        return cls(index)

    @classmethod
    def load(cls, table: pa.Table) -> "FaissFlat":
        """From the table that `to_table` wrote."""
        data = np.frombuffer(table["faiss"][0].as_py(), dtype=np.uint8)
        return cls(faiss.deserialize_index(data))

    def to_table(self) -> pa.Table:
        """One row, one column: FAISS's own serialisation."""
        data = faiss.serialize_index(self.index).tobytes()
        return pa.table(
            [pa.array([data], pa.binary())], schema=pa.schema([pa.field("faiss", pa.binary(), metadata=_DERIVED)])
        )

    def candidates(self, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.index.search(np.ascontiguousarray(queries), number)[1]
        return found

    def fits(self, keys: NDArray[np.float32]) -> bool:
        return self.index.ntotal == len(keys) and np.array_equal(self.index.reconstruct_n(0, len(keys)), keys)


class KeyBallTree:
    """scikit-learn's ball tree, kept as plain arrays: the order of the keys and the nodes."""

    def __init__(self, tree: BallTree) -> None:
        self.tree = tree

    @classmethod
    def build(cls, keys: NDArray[np.float32], leaf_size: int) -> "KeyBallTree":
        """Over keys float32 [K, dim]."""
        return cls(BallTree(keys.astype(np.float64), leaf_size=leaf_size))

    @classmethod
    def load(cls, keys: NDArray[np.float32], leaf_size: int, order: pa.Table, nodes: pa.Table) -> "KeyBallTree":
        """From the keys and the tables of `order_table` and `node_table`."""
        count = len(nodes)
        node_data = np.zeros(
            count, dtype=[("idx_start", "<i8"), ("idx_end", "<i8"), ("is_leaf", "<i8"), ("radius", "<f8")]
        )
        for name in node_data.dtype.names or ():
            node_data[name] = nodes[name].to_numpy()
        bounds = nodes["centre"].combine_chunks().flatten().to_numpy().reshape(1, count, -1)
        levels = (count + 1).bit_length() - 1
        # The tuple of BallTree.__getstate__; the four zeros count trims, leaves, splits and distance calls.
        state = (
            keys.astype(np.float64),
            order["entry"].to_numpy().copy(),
            node_data,
            bounds.copy(),
            *(leaf_size, levels, count, 0, 0, 0, 0),
            DistanceMetric.get_metric("euclidean"),
            None,
        )
        tree = BallTree.__new__(BallTree)
        tree.__setstate__(state)
        return cls(tree)

    def order_table(self) -> pa.Table:
        """The entries in the order of the leaves."""
        order = np.asarray(self.tree.get_arrays()[1])
        return pa.table([pa.array(order)], schema=pa.schema([pa.field("entry", pa.int64(), metadata=_DERIVED)]))

    def node_table(self) -> pa.Table:
        """One row a node: its range in the order, whether it is a leaf, radius and centre."""
        _, _, node_data, bounds = (np.asarray(array) for array in self.tree.get_arrays())
        centres = pa.FixedSizeListArray.from_arrays(pa.array(bounds[0].reshape(-1)), bounds.shape[2])
        names = list(node_data.dtype.names or ())
        arrays = [pa.array(np.ascontiguousarray(node_data[name])) for name in names] + [centres]
        fields = [pa.field(n, a.type, metadata=_DERIVED) for n, a in zip([*names, "centre"], arrays, strict=True)]
        return pa.table(arrays, schema=pa.schema(fields))

    def candidates(self, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.tree.query(queries.astype(np.float64), k=number, return_distance=False)
        return found

    def fits(self, keys: NDArray[np.float32]) -> bool:
        _, order, nodes, centres = (np.asarray(array) for array in self.tree.get_arrays())
        if not np.array_equal(np.sort(order), np.arange(len(keys))):
            return False
        for node, centre in zip(nodes, centres[0], strict=True):
            members = keys[order[node["idx_start"] : node["idx_end"]]].astype(np.float64)
            if np.linalg.norm(members - centre, axis=1).max() > node["radius"] * (1 + _ROUNDING) + _ROUNDING:
                return False
        return True


def index(
    clusters: Version, reduced: Version, patches: Version, *, config: IndexConfig, store: Store, force: bool = False
) -> StageResult:
    """Assemble the dictionary version: entries with keys and pictures, PCA basis, ball tree and FAISS index.

    Table `entries`, one row an entry: its patch (columns of `PATCH_SCHEMA`), key, centroid, cluster size and radius.
    """
    recipe = Recipe(
        stage="index",
        stage_version=1,
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
            for start, rows in _select_patches(patches, representatives):
                part = table.slice(start, len(rows))
                columns = [*rows.columns, vector_array(keys[start : start + len(rows)])]
                columns += [part["centroid"], part["size"], part["radius"]]
                entries.write(pa.table(columns, schema=schema))
        tree = KeyBallTree.build(keys, config.leaf_size)
        for name, content in (
            ("faiss", FaissFlat.build(keys).to_table()),
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
        }
        draft.statistics |= {"photos": patches.statistics["photos"], "backbone": reduced.statistics["backbone"]}
        logger.info("stage=index entries=%d", len(keys))

    return run_stage(store, Kind.DICTIONARY, recipe, build, force=force)


def _select_keys(reduced: Version, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return vectors_of(reduced.table("keys")["key"].take(pa.array(rows)))


def _select_patches(patches: Version, rows: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    """(first entry, its patches) in chunks, in the order of `rows`; one chunk's pictures are in memory at a time."""
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        wanted = rows[start : start + _ROWS_AT_A_TIME]
        order = np.argsort(wanted)
        found, position = [], 0
        for batch in patches.batches("patches", batch_rows=_ROWS_AT_A_TIME):
            inside = wanted[order][(wanted[order] >= position) & (wanted[order] < position + len(batch))]
            if len(inside):
                found.append(batch.take(pa.array(inside - position)))
            position += len(batch)
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        yield start, pa.Table.from_batches(found).select(PATCH_SCHEMA.names).take(pa.array(inverse))
