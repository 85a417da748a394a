"""The best of K references, where the distance to it is known, and for the keys of a dictionary."""

import numpy as np
import pytest

from clc.errors import ProfileError
from clc.theory.best_of_k import Keys, distances, held_out_keys, sizes, synthetic_keys
from clc.theory.exponents import paired_exponent

RNG = np.random.default_rng


def by_size(rows, what):
    counts = sorted({row.entries for row in rows})
    return counts, np.array([[getattr(row, what) for row in rows if row.entries == count] for count in counts]).T


def test_in_the_plane_the_best_of_k_is_at_one_half_of_the_root_of_the_area_that_each_has():
    rng = RNG(0)
    keys = Keys("uniform", rng.uniform(-1, 1, (4096, 2)), rng.uniform(-0.3, 0.3, (200, 2)))
    counts, found = by_size(distances(keys, rng), "distance")
    dense = [index for index, count in enumerate(counts) if count >= 64]

    for index in dense:
        assert found[:, index].mean() == pytest.approx(0.5 * np.sqrt(4 / counts[index]), rel=0.06)
    exponent = paired_exponent([counts[index] for index in dense], found[:, dense])
    assert exponent.value == pytest.approx(-0.5, abs=0.03)


def test_noise_in_all_dimensions_keeps_the_best_of_many_as_far_as_that_of_few():
    def exponent(noise: float) -> float:
        keys = synthetic_keys(1024, 40, d=64, r=4, noise=noise, rng=RNG(0))
        found = paired_exponent(*by_size(distances(keys, RNG(1)), "distance"))
        return found.value

    assert exponent(0.0) == pytest.approx(-1 / 4, abs=0.05)
    assert -0.05 < exponent(1.0) < 0.0


def test_a_query_that_is_a_reference_finds_itself_among_all_of_them():
    references = RNG(0).standard_normal((32, 8))
    rows = distances(Keys("same", references, references[:5]), RNG(1))

    assert [row.distance for row in rows if row.entries == 32] == pytest.approx([0.0] * 5, abs=1e-6)
    assert all(row.distance > 0.1 for row in rows if row.entries == 4 and row.query == 0)


def test_a_perturbed_search_never_gains_and_loses_something():
    rows = distances(synthetic_keys(512, 20, d=16, r=16, noise=0.0, rng=RNG(0)), RNG(1))

    assert min(row.excess for row in rows) >= 0.0
    assert min(np.mean([row.excess for row in rows if row.entries == count]) for count in sizes(512)) > 0.0


def test_the_best_of_more_is_never_farther():
    rows = distances(synthetic_keys(300, 10, d=8, r=3, noise=0.1, rng=RNG(0)), RNG(1))
    counts, found = by_size(rows, "distance")

    assert counts == [4, 8, 16, 32, 64, 128, 256, 300]
    assert (np.diff(found, axis=1) <= 1e-12).all()


def test_no_query_finds_an_entry_of_its_own_photo():
    photos = [f"photo {index // 2}" for index in range(40)]
    keys = np.arange(40, dtype=np.float32)[:, None]
    split = held_out_keys("these", keys, photos, queries=100, rng=RNG(0))

    asking, asked = ({photos[int(value)] for value in part[:, 0]} for part in (split.queries, split.references))
    assert len(asking) == 5
    assert asking.isdisjoint(asked)
    assert len(split.queries) + len(split.references) == 40
    assert len(held_out_keys("these", keys, photos, queries=3, rng=RNG(0)).queries) == 3


def test_a_dictionary_that_is_too_small_is_refused_in_one_line():
    with pytest.raises(ProfileError, match="dictionary abc has too few entries or photos"):
        held_out_keys("dictionary abc", np.zeros((8, 2), np.float32), [str(index) for index in range(8)], 5, RNG(0))
    with pytest.raises(ProfileError, match="name a larger dictionary"):
        held_out_keys("one photo", np.zeros((80, 2), np.float32), ["same"] * 80, 5, RNG(0))
