"""A size for all photos is never exceeded, and nearly used up, by photos that stand alone and by those that refer."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.archive.coding import CodedPhoto
from clc.archive.inputs import InputPhoto, Inputs
from clc.archive.plan import NO_PLAN
from clc.archive.size import QUALITIES, Expected, SizeBudget
from clc.archive.size_sample import budget_for
from clc.codec.decisions.targets import Compressed, Target
from clc.errors import TargetError
from tests.archive.samples import LosslessCoder


class Photos:
    """Photos whose bytes are a known function of the quality.

    hard: how many times those of the first. expected: what is known of them beforehand. kept: what they really keep.
    """

    def __init__(
        self, hard: np.ndarray, expected: list[Expected] | None = None, kept: np.ndarray | None = None
    ) -> None:
        self.hard = hard
        self.expected = expected or [Expected(1.0)] * len(hard)
        self.kept = np.ones(len(hard)) if kept is None else kept

    def size(self, photo: int, quality: float) -> int:
        return int(self.kept[photo] * self.hard[photo] * 500 * np.exp(min(quality, 100) / 25))

    def budget(self, size: int, sample: range) -> SizeBudget:
        sizes = np.array([[self.hard[photo] * 500 * np.exp(quality / 25) for quality in QUALITIES] for photo in sample])
        weights = np.array([self.expected[photo].weight for photo in sample])
        rates = sizes.sum(axis=0) / weights.sum()
        spread = (sizes[:, 0] / weights / rates[0]).max()
        photos = {str(photo): each for photo, each in enumerate(self.expected)}
        return SizeBudget(size, photos, rates, float(sizes[:, 2].sum()), spread)

    def spent(self, size: int, sample: range, in_flight: int = 1) -> tuple[int, list[float]]:
        """What all took, and their qualities; as many in flight as there are threads. None is lost."""
        budget, total, qualities, waiting = self.budget(size, sample), 0, [], []

        def write() -> None:
            nonlocal total
            photo, share = waiting.pop(0)
            wanted = self.size(photo, share.quality)
            assert self.size(photo, 1.0) <= budget.most(share), f"photo {photo} is lost"
            taken = min(wanted, int(budget.most(share)))
            budget.spend(share, taken, wanted)
            total += taken

        for photo in range(len(self.hard)):
            share = budget.share(str(photo))
            waiting.append((photo, share))
            qualities.append(share.quality - self.expected[photo].finer)
            if len(waiting) == in_flight:
                write()
        while waiting:
            write()
        return total, qualities


def test_photos_like_the_sample_get_one_quality() -> None:
    total, qualities = Photos(np.ones(50)).spent(200_000, range(6))
    assert 0.97 * 200_000 < total <= 200_000
    assert max(qualities) - min(qualities) < 1.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threads", [1, 4])
def test_photos_unlike_the_sample_are_made_up_for(seed: int, threads: int) -> None:
    hard = np.random.default_rng(seed).uniform(0.3, 3.0, 60)
    hard[30:] *= 1.5
    total, _ = Photos(hard).spent(400_000, range(6), threads)
    assert 0.9 * 400_000 < total <= 400_000


@pytest.mark.parametrize("kept", [0.2, 0.4, 0.9])
def test_key_photos_are_finer_and_what_refers_to_them_is_made_up_for(kept: float) -> None:
    """The plan says that 40 of 50 photos take 0.4 of what they take alone; they take more or less."""
    expected = [Expected(1.0, finer=30.0)] * 5 + [Expected(1.0, kept=0.4)] * 40 + [Expected(1.0)] * 5
    real = np.array([1.0] * 5 + [kept] * 40 + [1.0] * 5)
    total, qualities = Photos(np.ones(50), expected, real).spent(200_000, range(0, 50, 8))
    assert 0.96 * 200_000 < total <= 200_000
    assert np.ptp(qualities) < 25
    if kept == 0.4:
        assert np.ptp(qualities) < 1


def test_with_few_bytes_key_photos_are_not_as_fine_as_planned() -> None:
    least = Photos(np.ones(1)).size(0, 1.0)
    expected = [Expected(1.0, finer=50.0, least=least)] * 5 + [Expected(1.0, least=least)] * 45
    total, qualities = Photos(np.ones(50), expected).spent(35_000, range(0, 50, 8))
    assert total <= 35_000
    assert max(qualities[:5]) < 0  # of the others, were they as much less fine as planned
    assert 1.0 <= min(qualities[5:]) < 3.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [45_000, 60_000, 10**6])
def test_no_photo_is_lost_where_the_plan_is_wrong_and_the_last_are_the_hardest(seed: int, size: int) -> None:
    """What was to refer to key photos stands alone, and the sample tells little: a size that holds all holds each."""
    generator = np.random.default_rng(seed)
    hard = np.sort(generator.uniform(0.4, 1.6, 60))
    expected = [Expected(float(each), 0.3 if number % 2 else 1.0) for number, each in enumerate(hard)]
    total, _ = Photos(hard * generator.uniform(0.9, 1.1, 60), expected).spent(size, range(6), 3)
    assert total <= size


@pytest.mark.parametrize("seed", range(5))
def test_where_the_least_is_known_no_photo_is_lost_though_nothing_else_was(seed: int) -> None:
    """The size is what all take at the smallest quality; the sample is far too easy."""
    hard = np.sort(np.random.default_rng(seed).uniform(0.1, 5.0, 60))
    photos = Photos(hard)
    photos.expected = [Expected(1.0, least=photos.size(number, 1.0)) for number in range(60)]
    least = sum(photos.size(number, 1.0) for number in range(60))
    for size in (least, least + 5000, 2 * least):
        assert photos.spent(size, range(6), 3)[0] <= size
    with pytest.raises(TargetError, match=f"quality 1 they take {least:,}; give"):
        photos.budget(least - 1, range(6))


def test_a_size_beyond_all_reach_is_refused_at_once() -> None:
    with pytest.raises(TargetError, match="too few for these photos"):
        Photos(np.ones(50)).budget(10_000, range(6))


def test_a_size_that_is_more_than_enough_gives_the_best_quality() -> None:
    assert set(Photos(np.ones(5)).spent(10**9, range(5))[1]) == {100.0}


def test_what_needs_no_stream_leaves_its_bytes_to_the_others() -> None:
    budget = Photos(np.ones(50)).budget(200_000, range(6))
    before = budget.share("0")
    budget.spend(before, int(before.predicted))
    for photo in range(1, 25):
        budget.skip(str(photo))
    budget.skip("24")  # a second photo of a name
    budget.skip("no photo that was expected")
    assert budget.share("25").quality > before.quality + 10


class _Sized(LosslessCoder):
    """Its files are as long as a photo is bright and a quality high, whatever pixels and thumbnails would tell."""

    def code(
        self, picture: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = (), *, effort: int = 0
    ) -> CodedPhoto:
        data = bytes(int(20 * picture.mean() * np.exp(target.value / 25)))
        return CodedPhoto(Compressed(data, target.value, 8 * len(data) / picture[..., 0].size))


def test_of_few_photos_each_is_known_so_they_get_one_quality() -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for file, level in zip(files, (10, 200), strict=True):
        Image.new("RGB", (64, 64), (level,) * 3).save(file, "png")
    inputs = Inputs([InputPhoto(f"{number}.png", data=file.getvalue()) for number, file in enumerate(files)])
    budget = budget_for(inputs, _Sized(), 20_000, NO_PLAN, threads=1)
    first, second = budget.share("0.png"), budget.share("1.png")
    assert first.quality == pytest.approx(second.quality, abs=0.5)
    assert first.predicted * 20 == pytest.approx(second.predicted, rel=0.05)
