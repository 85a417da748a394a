"""Near-duplicates: found, counted, and left out in a stated order."""

import numpy as np
from numpy.typing import NDArray

from clc.dictionary.stages.duplicates import KeyBatches, find_distinct


def in_batches(keys: NDArray[np.float32], size: int) -> KeyBatches:
    return lambda: (keys[start : start + size] for start in range(0, len(keys), size))


def distinct(keys: NDArray[np.float32], limit: float, size: int = 7) -> list[int]:
    return np.flatnonzero(find_distinct(in_batches(keys, size), len(keys), limit)).tolist()


def test_of_equal_keys_the_first_remains() -> None:
    keys = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32)
    repeated = keys[[0, 1, 0, 2, 3, 3, 4, 5, 0, 6, 7, 8, 9, 2, 1]]
    for size in (1, 4, 100):
        assert distinct(repeated, 0.0, size) == [0, 1, 3, 4, 6, 7, 9, 10, 11, 12]


def test_a_limit_of_zero_keeps_all_that_differ() -> None:
    keys = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    keys[1] = np.nextafter(keys[0], np.float32(np.inf)) + 1e-4
    assert distinct(keys, 0.0) == list(range(50))


def test_the_limit_is_in_units_of_the_root_mean_square_norm() -> None:
    keys = np.array([[3.0, 0.0], [3.0, 0.29], [-3.0, 0.0], [-3.0, 0.32]], dtype=np.float32)
    assert distinct(keys, 0.1) == [0, 2, 3]
    assert distinct(1000 * keys, 0.1) == [0, 2, 3]


def test_a_chain_of_neighbours_is_thinned_not_swallowed() -> None:
    chain = np.stack([np.arange(9) * 0.6, np.full(9, 10.0)], axis=1).astype(np.float32)
    limit = 1.0 / float(np.sqrt(np.square(chain).sum(axis=1).mean()))
    for size in (1, 3, 100):
        assert distinct(chain, limit, size) == [0, 2, 4, 6, 8]


def test_planted_neighbours_are_found_among_many() -> None:
    generator = np.random.default_rng(0)
    keys = generator.normal(size=(4000, 16)).astype(np.float32)
    near = keys[:400] + generator.normal(size=(400, 16)).astype(np.float32) * 0.01
    found = find_distinct(in_batches(np.concatenate([keys, near]), 512), 4400, 0.05)
    assert found[:4000].all()
    assert found[4000:].sum() <= 4  # 1 % may hide behind a cell's border
