"""The KV-cache: compressed keys and values of the entries that are used most (paper §3.2 (2), eq. 1 to 3).

The cache never changes an answer: what is not in it is read again from the rows stored with the reference latents. So
retrieval does not depend on what was retrieved before.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clc.errors import ProfileError

CAPACITY = 300
"""Entries that a cache holds by default, as in the paper."""
_DECAY = 0.99  # of the relevance, per query: it remembers about a hundred queries
_BYTES_PER_NUMBER = 4


class Compression(Protocol):
    """The function C of eq. 2, its rows made already. `clc.model.conditioning.attention.EntryCompression` is one."""

    dimension: int

    def queries(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Keys float32 [n, d] of pictures uint8 [n, H, W, 3]."""
        ...

    def entries(self, entries: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Keys and values, each float32 [n, d], of entries [n]."""
        ...


@dataclass(frozen=True)
class CacheStatistics:
    """What a cache did since it was made."""

    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int

    @property
    def hit_rate(self) -> float:
        """Share of the look-ups that were answered from memory; 0 before the first."""
        return self.hits / max(1, self.hits + self.misses)


class KeyValueCache:
    """Compressed keys and values of at most `capacity` entries.

    The relevance ρ of an entry is what it has contributed to the answers of eq. 1: the sum of its attention weights
    times the norm of its value, where each query fades by 1 % with every query after it. Eviction keeps the `capacity`
    most relevant entries (TopK, eq. 3; ties go to the lower entry), new ones included: one that was looked up but got
    no attention does not displace one that gets it regularly. Not for use by several threads at once.

    >>> class Identity:
    ...     dimension = 2
    ...     def queries(self, pictures): return pictures[:, 0, 0, :2].astype(np.float32)
    ...     def entries(self, entries): return (table[entries], table[entries])
    >>> table = np.array([[3, 0], [0, 3], [2, 2]], dtype=np.float32)
    >>> cache = KeyValueCache(Identity(), capacity=2)
    >>> weights, retrieved = cache.attend(np.array([[2, 0]], dtype=np.float32), np.array([[0, 1, 2]]))
    >>> weights.round(2).tolist(), cache.statistics.entries
    ([[0.79, 0.01, 0.19]], 2)
    """

    def __init__(self, compression: Compression, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ProfileError(f"a cache must hold at least 1 entry, not {capacity}")
        self.compression = compression
        self.capacity = capacity
        self._entries = np.empty(0, dtype=np.int64)  # ascending
        self._keys = np.empty((0, compression.dimension), dtype=np.float32)
        self._values = np.empty((0, compression.dimension), dtype=np.float32)
        self._relevance = np.empty(0)
        self._hits = self._misses = self._evictions = 0

    @classmethod
    def within(cls, compression: Compression, memory: int) -> "KeyValueCache":
        """A cache of as many entries as fit into `memory` bytes. Raises ProfileError if that is none."""
        capacity = memory // _row_bytes(compression.dimension)
        if capacity < 1:
            raise ProfileError(
                f"{memory} bytes hold no entry of the cache; give at least {_row_bytes(compression.dimension)}"
            )
        return cls(compression, capacity)

    @property
    def statistics(self) -> CacheStatistics:
        """Counts since the cache was made, and its size now."""
        held = len(self._entries)
        size = held * _row_bytes(self.compression.dimension)
        return CacheStatistics(self._hits, self._misses, self._evictions, entries=held, bytes=size)

    def attend(
        self, queries: NDArray[np.float32], candidates: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Eq. 1: weights [T, n] of candidates [T, n] for queries [T, d], and what is retrieved [T, d]."""
        weights = np.empty(candidates.shape, dtype=np.float32)
        retrieved = np.empty_like(queries)
        for row, (query, own) in enumerate(zip(queries, candidates, strict=True)):
            keys, values = self._look_up(own)
            # Row by row, so that a weight does not depend on the other candidates' or queries' number.
            logits = np.einsum("d,nd->n", query, keys, dtype=np.float64) / math.sqrt(len(query))
            exponentials = np.exp(logits - logits.max())
            weights[row] = exponentials / exponentials.sum()
            retrieved[row] = weights[row] @ values
            self._keep(own, keys, values, weights[row])
        return weights, retrieved

    def _look_up(self, entries: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        held = np.isin(entries, self._entries)
        keys = np.empty((len(entries), self.compression.dimension), dtype=np.float32)
        values = np.empty_like(keys)
        places = np.searchsorted(self._entries, entries[held])
        keys[held], values[held] = self._keys[places], self._values[places]
        if not held.all():
            keys[~held], values[~held] = self.compression.entries(entries[~held])
        self._hits += int(held.sum())
        self._misses += int((~held).sum())
        return keys, values

    def _keep(
        self,
        entries: NDArray[np.int64],
        keys: NDArray[np.float32],
        values: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        """E of eq. 3: of what is held and what was looked up, the most relevant stay."""
        contribution = weights * np.linalg.norm(values, axis=1)
        self._relevance *= _DECAY
        held = np.isin(entries, self._entries)
        self._relevance[np.searchsorted(self._entries, entries[held])] += contribution[held]
        together = np.concatenate([self._entries, entries[~held]])
        relevance = np.concatenate([self._relevance, contribution[~held]])
        best = np.lexsort((together, -relevance))[: self.capacity]
        best = best[np.argsort(together[best])]
        self._evictions += len(self._entries) - int((best < len(self._entries)).sum())
        self._keys = np.concatenate([self._keys, keys[~held]])[best]
        self._values = np.concatenate([self._values, values[~held]])[best]
        self._entries, self._relevance = together[best], relevance[best]


def _row_bytes(dimension: int) -> int:
    """Key and value, the entry's number and its relevance."""
    return 2 * dimension * _BYTES_PER_NUMBER + 16
