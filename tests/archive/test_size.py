"""A size for all photos is never exceeded, and nearly used up."""

import numpy as np
import pytest

from clc.archive.size import SizeBudget
from clc.errors import TargetError

PIXELS = 100_000


class Photos:
    """Photos whose bytes are a known function of the quality; `hard` says how many times those of the first."""

    def __init__(self, hard: np.ndarray) -> None:
        self.hard = hard

    def size(self, photo: int, quality: float) -> int:
        return int(self.hard[photo] * 500 * np.exp(quality / 25))

    def budget(self, size: int, sample: range) -> SizeBudget:
        pictures = [np.full((100, 1000, 3), photo, np.uint8) for photo in sample]
        return SizeBudget(size, PIXELS * len(self.hard), pictures, lambda picture, q: self.size(picture[0, 0, 0], q))

    def spent(self, size: int, sample: range) -> tuple[int, list[float]]:
        budget, total, qualities = self.budget(size, sample), 0, []
        for photo in range(len(self.hard)):
            share = budget.share(PIXELS)
            taken = min(self.size(photo, share.quality), int(budget.most()))
            budget.spend(share, taken)
            total += taken
            qualities.append(share.quality)
        return total, qualities


def test_photos_like_the_sample_get_one_quality() -> None:
    total, qualities = Photos(np.ones(50)).spent(200_000, range(6))
    assert 0.97 * 200_000 < total <= 200_000
    assert max(qualities) - min(qualities) < 1.0


@pytest.mark.parametrize("seed", range(5))
def test_photos_unlike_the_sample_are_made_up_for(seed: int) -> None:
    hard = np.random.default_rng(seed).uniform(0.3, 3.0, 60)
    hard[30:] *= 1.5
    total, _ = Photos(hard).spent(400_000, range(6))
    assert 0.9 * 400_000 < total <= 400_000


def test_a_size_beyond_all_reach_is_refused_at_once() -> None:
    with pytest.raises(TargetError, match="too few for these photos"):
        Photos(np.ones(50)).budget(10_000, range(6))


def test_a_size_that_is_more_than_enough_gives_the_best_quality() -> None:
    assert set(Photos(np.ones(5)).spent(10**9, range(5))[1]) == {100.0}
