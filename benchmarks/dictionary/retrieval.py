"""Time and recall of a query, for M = 3, over keys of real photos.

Each structure is searched by one query at a time, on one thread, with all that `Dictionary.search` does around it.
Recall is the share of the exact three nearest that are found. The KV-cache row is the coarse search that a dictionary
of that size uses, for 24 candidates, and attention over them. Its rows stand in for a model's: C is the map for which
attention orders by distance, so that its recall can be compared. The queries are windows of the same photos as the
keys, none of them a key.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.dictionary.keys import real_keys
from benchmarks.printing import print_machine, print_table
from clc.dictionary.retrieval.cache import KeyValueCache
from clc.dictionary.retrieval.search import FaissIndex, KeyBallTree, KeyScan, SearchIndex, nearest
from clc.dictionary.stages.index import IndexConfig

_REFERENCES = 3
_CANDIDATES = 24
_QUERIES = 500
_LIMIT_MS = 1.0
_LIMIT_ENTRIES = 3000

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--entries K ..."""
    parser.add_argument("--entries", type=int, nargs="+", default=[3000, 30_000, 300_000], metavar="K")


def run(arguments: argparse.Namespace) -> int:
    """Print the tables; 1 if a query over 3,000 entries takes more than a millisecond."""
    print_machine()
    keys = real_keys(max(arguments.entries) + _QUERIES)
    queries, rows, slow = keys[-_QUERIES:], [], False
    with threadpool_limits(1):
        for entries in arguments.entries:
            for name, milliseconds, recall, note in _structures(np.ascontiguousarray(keys[:entries]), queries):
                rows.append([entries, name, milliseconds, recall, note])
                default = name in ("NumPy scan", "KV-cache") and entries == _LIMIT_ENTRIES
                slow |= default and milliseconds > _LIMIT_MS
        print_table(["entries", "structure", "median ms", "recall@3", ""], rows)
    return int(slow)


def _structures(keys: NDArray[np.float32], queries: NDArray[np.float32]) -> list[tuple[str, float, float, str]]:
    started = time.perf_counter()
    tree = KeyBallTree.build(keys, leaf_size=IndexConfig().leaf_size)
    tree_seconds = time.perf_counter() - started
    flat, scan = FaissIndex.build(keys), KeyScan(keys)
    started = time.perf_counter()
    graph = FaissIndex.build(keys, graph=True)
    graph_seconds = time.perf_counter() - started
    exact, _ = nearest(flat, keys, queries, _REFERENCES)

    def measured(search: Search) -> tuple[float, float]:
        found, times = [], []
        for query in queries:
            started = time.perf_counter()
            found.append(search(query[None])[0])
            times.append(time.perf_counter() - started)
        hits = [len(np.intersect1d(own, best)) for own, best in zip(found, exact, strict=True)]
        return 1000 * float(np.median(times)), float(np.mean(hits)) / _REFERENCES

    def by(index: SearchIndex) -> Search:
        return lambda query: nearest(index, keys, query, _REFERENCES)[0]

    cache = KeyValueCache(_DistanceOrder(keys))
    coarse = scan if len(keys) <= IndexConfig().exhaustive_up_to else graph

    def attended(query: NDArray[np.float32]) -> NDArray[np.int64]:
        candidates, _ = nearest(coarse, keys, query, _CANDIDATES)
        weights, _ = cache.attend(cache.compression.queries(query), candidates)
        return np.take_along_axis(candidates, np.argsort(-weights, axis=1, kind="stable"), axis=1)[:, :_REFERENCES]

    rows = [
        ("ball tree", *measured(by(tree)), f"built in {tree_seconds:.1f} s"),
        ("FAISS flat", *measured(by(flat)), ""),
        ("NumPy scan", *measured(by(scan)), ""),
        ("FAISS HNSW", *measured(by(graph)), f"built in {graph_seconds:.1f} s"),
    ]
    milliseconds, recall = measured(attended)
    held = cache.statistics
    note = f"hit rate {held.hit_rate:.2f}, {held.entries} entries, {held.bytes / 2**20:.2f} MiB"
    return [*rows, ("KV-cache", milliseconds, recall, note)]


class _DistanceOrder:
    """C as [k, −|k|²/2], and of queries [q, 1]: then q·k = (|q|² − |q − k|²) / 2, so attention orders by distance."""

    def __init__(self, keys: NDArray[np.float32]) -> None:
        self._keys = np.concatenate([keys, -0.5 * np.square(keys).sum(axis=1, keepdims=True)], axis=1)
        self.dimension = self._keys.shape[1]

    def queries(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of keys, which stand for the pictures that they were made from."""
        return np.concatenate([pictures, np.ones((len(pictures), 1), dtype=np.float32)], axis=1)

    def entries(self, entries: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._keys[entries], self._keys[entries]
