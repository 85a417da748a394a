"""Search structures over the keys (paper §3.2 (2)): a ball tree, FAISS by exhaustive search or by a graph, and a scan.

They only propose candidates: distances are then recomputed in float64 and ties go to the lower entry, so that the exact
ones give the same answer (unless more entries tie at the border than are proposed in addition).

Ball tree and FAISS are stored with a dictionary and need libraries of their own, which are imported where they are
used. The scan is NumPy alone: who codes with a dictionary that is searched exhaustively needs neither.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    import faiss
    from sklearn.neighbors import BallTree

DERIVED = {"clc.identity": "derived"}
"""Metadata of columns that can be rebuilt from the keys."""
_ROUNDING = 1e-9
_SPARE_CANDIDATES = 8  # equal distances may be ordered differently by a structure
_GRAPH_MARK = b"IHNf"  # what FAISS's serialisation of a graph begins with
_GRAPH_DEGREE = 32  # neighbours of a key in the graph
_GRAPH_BREADTH = 128  # keys kept in view while the graph is searched


class SearchMethod(StrEnum):
    """Which stored structure answers queries."""

    FAISS = "faiss"
    BALL_TREE = "ball_tree"


class SearchIndex(Protocol):
    """Proposes entries for queries."""

    def candidates(self, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        """About the `number` nearest entries [n, number] of queries [n, dim]."""
        ...

    def fits(self, keys: NDArray[np.float32]) -> bool:
        """Whether this is a search structure over exactly these keys [K, dim]."""
        ...


class KeyScan:
    """Every key is compared with every query, in NumPy: answers as `FaissIndex` without a graph does."""

    def __init__(self, keys: NDArray[np.float32]) -> None:
        self._keys = keys.astype(np.float64)
        self._norms = np.square(self._keys).sum(axis=1)

    def candidates(self, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        nearer = self._norms - 2.0 * queries.astype(np.float64) @ self._keys.T  # squared distances but for the query's
        if number >= len(self._keys):
            return np.argsort(nearer, axis=1)
        return np.argpartition(nearer, number - 1, axis=1)[:, :number]

    def fits(self, keys: NDArray[np.float32]) -> bool:
        return np.array_equal(self._keys, keys)


class FaissIndex:
    """FAISS: exhaustive search, or a navigable small-world graph (HNSW) for many keys."""

    def __init__(self, index: "faiss.Index") -> None:
        self.index = index

    @staticmethod
    def is_graph(table: pa.Table) -> bool:
        """Whether the index in a table that `to_table` wrote is a graph; FAISS is not needed to tell."""
        return bytes(table["faiss"][0].as_py()[: len(_GRAPH_MARK)]) == _GRAPH_MARK

    @classmethod
    def build(cls, keys: NDArray[np.float32], *, graph: bool = False) -> "FaissIndex":
        """Over keys float32 [K, dim]; graph: search a graph, fast and approximate, instead of all keys."""
        import faiss
        from threadpoolctl import threadpool_limits

        dim = keys.shape[1]
        index = faiss.IndexHNSWFlat(dim, _GRAPH_DEGREE) if graph else faiss.IndexFlatL2(dim)
        # One thread: the graph depends on the order in which keys are added.
        with threadpool_limits(1):
            index.add(np.ascontiguousarray(keys))
        return cls(index)

    @classmethod
    def load(cls, table: pa.Table) -> "FaissIndex":
        """From the table that `to_table` wrote."""
        import faiss

        data = np.frombuffer(table["faiss"][0].as_py(), dtype=np.uint8)
        return cls(faiss.deserialize_index(data))

    def to_table(self) -> pa.Table:
        """One row, one column: FAISS's own serialisation."""
        import faiss

        data = faiss.serialize_index(self.index).tobytes()
        return pa.table(
            [pa.array([data], pa.binary())], schema=pa.schema([pa.field("faiss", pa.binary(), metadata=DERIVED)])
        )

    def candidates(self, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        import faiss

        queries = np.ascontiguousarray(queries)
        if not isinstance(self.index, faiss.IndexHNSWFlat):
            exact: NDArray[np.int64] = self.index.search(queries, number)[1]
            return exact
        breadth = faiss.SearchParametersHNSW(efSearch=max(_GRAPH_BREADTH, 2 * number))  # type: ignore[attr-defined]
        found: NDArray[np.int64] = self.index.search(queries, number, params=breadth)[1]
        short = (found < 0).any(axis=1)  # a graph may have parts that a search does not reach
        if short.any():
            found[short] = self.index.storage.search(queries[short], number)[1]
        return found

    def fits(self, keys: NDArray[np.float32]) -> bool:
        return self.index.ntotal == len(keys) and np.array_equal(self.index.reconstruct_n(0, len(keys)), keys)


class KeyBallTree:
    """scikit-learn's ball tree, kept as plain arrays: the order of the keys and the nodes."""

    def __init__(self, tree: "BallTree") -> None:
        self.tree = tree

    @classmethod
    def build(cls, keys: NDArray[np.float32], leaf_size: int) -> "KeyBallTree":
        """Over keys float32 [K, dim]."""
        from sklearn.neighbors import BallTree  # takes seconds, see `clc.dictionary.stages.cluster`

        return cls(BallTree(keys.astype(np.float64), leaf_size=leaf_size))

    @classmethod
    def load(cls, keys: NDArray[np.float32], leaf_size: int, order: pa.Table, nodes: pa.Table) -> "KeyBallTree":
        """From the keys and the tables of `order_table` and `node_table`."""
        from sklearn.metrics import DistanceMetric
        from sklearn.neighbors import BallTree

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
        return pa.table([pa.array(order)], schema=pa.schema([pa.field("entry", pa.int64(), metadata=DERIVED)]))

    def node_table(self) -> pa.Table:
        """One row a node: its range in the order, whether it is a leaf, radius and centre."""
        _, _, node_data, bounds = (np.asarray(array) for array in self.tree.get_arrays())
        centres = pa.FixedSizeListArray.from_arrays(pa.array(bounds[0].reshape(-1)), bounds.shape[2])
        names = list(node_data.dtype.names or ())
        arrays = [pa.array(np.ascontiguousarray(node_data[name])) for name in names] + [centres]
        fields = [pa.field(n, a.type, metadata=DERIVED) for n, a in zip([*names, "centre"], arrays, strict=True)]
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


def nearest(
    index: SearchIndex,
    keys: NDArray[np.float32],
    queries: NDArray[np.float32],
    number: int,
    excluded: Sequence[NDArray[np.bool_]] = (),
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Entries and Euclidean distances, each [n, number], nearest first, ties by entry.

    index: a structure over keys [K, dim]. excluded: for each query, a mask [K] of entries to leave out; at least
    `number` must remain.
    """
    left_out = max((int(mask.sum()) for mask in excluded), default=0)
    proposed = index.candidates(queries, min(len(keys), number + left_out + _SPARE_CANDIDATES))
    found = np.empty((len(queries), number), dtype=np.int64)
    distances = np.empty((len(queries), number), dtype=np.float32)
    for row, (query, candidates) in enumerate(zip(queries, proposed, strict=True)):
        allowed = candidates[~excluded[row][candidates]] if excluded else candidates
        distance = np.linalg.norm(keys[allowed].astype(np.float64) - query, axis=1)
        best = np.lexsort((allowed, distance))[:number]
        found[row], distances[row] = allowed[best], distance[best]
    return found, distances
