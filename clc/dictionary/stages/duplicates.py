"""Near-duplicate patches, such as the same wall on two days of a fixed camera: one of them is enough."""

from collections.abc import Callable, Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

_KEYS_PER_CELL = 250
_KEYS_COMPARED = 1024  # at a time, each with each
_CELLS_SEARCHED = 4
_ROUNDING = 1e-12  # of the squared norm: what float64 leaves of the distance between equal keys

KeyBatches = Callable[[], Iterator[NDArray[np.float32]]]
"""Starts a new pass over the keys, batches float32 [≤ n, dim] in the order of the patches."""


def find_distinct(batches: KeyBatches, rows: int, limit: float, seed: int = 0) -> NDArray[np.bool_]:
    """Which of `rows` patches [rows] remain if each that is too near to one kept before it is left out.

    limit: the largest distance of near-duplicates, in units of the root mean square norm of the keys; 0 leaves out
    equal keys only. Keys are compared within the nearest cells of a coarse index, so that time grows hardly faster
    than the number of patches; pairs that a cell border separates can be missed. The kept keys stay in memory.
    """
    radius = limit * _root_mean_square_norm(batches())
    index = _coarse_index(batches(), rows, seed)
    kept = np.zeros(rows, dtype=bool)
    start = 0
    for keys in _split(batches()):
        new = np.flatnonzero(~_has_neighbour(index, keys, radius))
        new = new[_greedily_distinct(keys[new], radius)]
        index.add(keys[new])
        kept[start + new] = True
        start += len(keys)
    return kept


def _split(batches: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Batches small enough for all their distances to be in memory."""
    for keys in batches:
        yield from (keys[start : start + _KEYS_COMPARED] for start in range(0, len(keys), _KEYS_COMPARED))


def _root_mean_square_norm(batches: Iterator[NDArray[np.float32]]) -> float:
    squares = [float(np.square(keys, dtype=np.float64).sum(axis=1).mean()) for keys in batches]
    return float(np.sqrt(np.mean(squares)))


def _coarse_index(batches: Iterator[NDArray[np.float32]], rows: int, seed: int) -> faiss.IndexIVFFlat:
    """An empty inverted file whose cells surround keys drawn at random: cells need not be good, only small."""
    cells = max(1, rows // _KEYS_PER_CELL)
    chosen = np.zeros(rows, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(rows)[:cells]] = True
    centres, start = [], 0
    for keys in batches:
        centres.append(keys[chosen[start : start + len(keys)]])
        start += len(keys)
    middle = np.concatenate(centres)
    quantiser = faiss.IndexFlatL2(middle.shape[1])
    quantiser.add(middle)
    index = faiss.IndexIVFFlat(quantiser, middle.shape[1], cells)
    index.is_trained = True
    index.nprobe = min(cells, _CELLS_SEARCHED)
    return index


def _has_neighbour(index: faiss.IndexIVFFlat, keys: NDArray[np.float32], radius: float) -> NDArray[np.bool_]:
    """Whether a key kept so far lies within `radius`."""
    squared = np.nextafter(np.float32(radius**2), np.float32(np.inf))  # FAISS searches strictly below
    nearest: NDArray[np.float32] = index.search(keys, 1)[0][:, 0]
    return nearest < squared


def _greedily_distinct(keys: NDArray[np.float32], radius: float) -> NDArray[np.int64]:
    """Positions that remain if, in order, each key within `radius` of one that remains is dropped."""
    exact = keys.astype(np.float64)
    norms = np.square(exact).sum(axis=1)
    squared = norms[:, None] + norms - 2.0 * exact @ exact.T
    near_earlier = np.tril(squared <= radius**2 + _ROUNDING * norms, k=-1)
    remains = np.ones(len(keys), dtype=bool)
    for position in np.flatnonzero(near_earlier.any(axis=1)):
        remains[position] = not near_earlier[position, remains].any()
    return np.flatnonzero(remains)
