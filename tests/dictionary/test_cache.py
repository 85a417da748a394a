"""The KV-cache saves work, keeps what is relevant, and never changes an answer."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.dictionary.retrieval.cache import CAPACITY, KeyValueCache
from clc.errors import ProfileError

DIMENSION = 4


class Rows:
    """Keys and values from a table; counts what it is asked for."""

    dimension = DIMENSION

    def __init__(self, number: int) -> None:
        generator = np.random.default_rng(0)
        self.keys = generator.normal(size=(number, DIMENSION)).astype(np.float32)
        self.values = generator.normal(size=(number, DIMENSION)).astype(np.float32)
        self.asked: list[int] = []

    def queries(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return pictures.reshape(len(pictures), -1)[:, :DIMENSION].astype(np.float32)

    def entries(self, entries: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.asked += entries.tolist()
        return self.keys[entries], self.values[entries]


def ask(cache: KeyValueCache, query: NDArray[np.float32], *entries: int) -> NDArray[np.float32]:
    return cache.attend(query[None], np.array([entries]))[0][0]


def test_attention_is_equation_one() -> None:
    rows = Rows(6)
    query = np.array([[1.0, -2.0, 0.5, 3.0]], dtype=np.float32)
    weights, retrieved = KeyValueCache(rows).attend(query, np.array([[4, 1, 3]]))
    logits = query @ rows.keys[[4, 1, 3]].T / math.sqrt(DIMENSION)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert np.allclose(weights, expected, atol=1e-6)
    assert np.allclose(retrieved, expected @ rows.values[[4, 1, 3]], atol=1e-6)


def test_what_is_held_is_not_computed_again() -> None:
    rows = Rows(6)
    cache = KeyValueCache(rows)
    query = np.ones(DIMENSION, dtype=np.float32)
    ask(cache, query, 0, 1, 2)
    ask(cache, query, 2, 1, 3)
    assert rows.asked == [0, 1, 2, 3]
    assert (cache.statistics.hits, cache.statistics.misses) == (2, 4)
    assert cache.statistics.hit_rate == pytest.approx(1 / 3)


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    generator = np.random.default_rng(1)
    queries = generator.normal(size=(200, DIMENSION)).astype(np.float32)
    candidates = np.stack([generator.permutation(50)[:6] for _ in queries])
    small = KeyValueCache(Rows(50), capacity=7)
    for query, own in zip(queries, candidates, strict=True):
        fresh = KeyValueCache(Rows(50)).attend(query[None], own[None])
        for kept, new in zip(small.attend(query[None], own[None]), fresh, strict=True):
            assert np.array_equal(kept, new)
    assert small.statistics.evictions > 0
    assert small.statistics.entries == 7


def test_an_entry_that_gets_attention_outlives_more_recent_ones() -> None:
    rows = Rows(20)
    rows.keys[:] = 0
    rows.keys[3] = 5  # every query below attends to it almost alone
    cache = KeyValueCache(rows, capacity=2)
    query = np.ones(DIMENSION, dtype=np.float32)
    for other in range(4, 20):
        ask(cache, query, 3, other)
        ask(cache, -query, other, other - 1)  # recent, and never wanted together with it
    assert rows.asked.count(3) == 1


def test_relevance_fades() -> None:
    rows = Rows(8)
    rows.keys[:] = 0  # weights are equal
    rows.values[:] = 1
    cache = KeyValueCache(rows, capacity=1)
    query = np.ones(DIMENSION, dtype=np.float32)
    for _ in range(3):
        ask(cache, query, 0)
    ask(cache, query, 1)
    assert rows.asked == [0, 1]
    ask(cache, query, 0)  # still held: three queries outweigh one
    assert rows.asked == [0, 1]
    for _ in range(300):
        ask(cache, query, 1, 2)
    ask(cache, query, 0)
    assert rows.asked.count(0) == 2


def test_ties_keep_the_lower_entry() -> None:
    rows = Rows(6)
    rows.keys[:], rows.values[:] = 0, 1
    cache = KeyValueCache(rows, capacity=2)
    ask(cache, np.ones(DIMENSION, dtype=np.float32), 5, 2, 4)
    ask(cache, np.ones(DIMENSION, dtype=np.float32), 2, 4)
    assert rows.asked == [5, 2, 4]


def test_memory_bounds_the_capacity() -> None:
    row = 2 * DIMENSION * 4 + 16
    assert KeyValueCache(Rows(2)).capacity == CAPACITY == 300
    cache = KeyValueCache.within(Rows(6), 3 * row + 5)
    assert cache.capacity == 3
    ask(cache, np.ones(DIMENSION, dtype=np.float32), 0, 1, 2, 3, 4)
    assert cache.statistics.bytes == 3 * row
    with pytest.raises(ProfileError, match=f"at least {row}"):
        KeyValueCache.within(Rows(2), row - 1)
    with pytest.raises(ProfileError, match="at least 1 entry"):
        KeyValueCache(Rows(2), 0)
