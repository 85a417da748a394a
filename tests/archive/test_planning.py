"""Who resembles whom, and what is planned from that."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.archive.plan import Role
from clc.archive.planning import planned
from clc.codec.references.warp import warp
from clc.dictionary.retrieval.resemblance import Resemblance, resemblance, thumbnail


def scene(seed: int, height: int = 192, width: int = 256) -> NDArray[np.uint8]:
    """Blobs of many sizes and colours, which keypoints are found in."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), generator.uniform(60, 190, 3))
    for _ in range(150):
        y, x, radius = generator.uniform(0, height), generator.uniform(0, width), generator.uniform(2, 16)
        picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = generator.uniform(0, 255, 3)
    return picture.astype(np.uint8)


def again(picture: NDArray[np.uint8], seed: int, noise: float = 3.0) -> NDArray[np.uint8]:
    """The same camera a moment later."""
    noisy = picture + np.random.default_rng(seed).normal(0, noise, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


class TestResemblance:
    def test_the_same_camera_explains_most_and_strangers_nothing(self) -> None:
        first, other = scene(1), scene(2)
        left = resemblance([first, again(first, 0), other]).among(np.arange(3))
        assert left[0, 1] < 0.3
        assert left[1, 0] < 0.3
        assert min(left[0, 2], left[2, 0], left[2, 1]) > 0.8

    def test_a_camera_that_moved_is_found_by_keypoints_alone(self) -> None:
        first = scene(3)
        corners = np.array([[200, 120], [230, 100], [180, 140], [220, 150]], dtype=np.int32)
        moved = warp(first, corners, 192, 256, (192, 256))
        assert resemblance([first, moved]).among(np.arange(2))[1, 0] < 0.5
        assert resemblance([first, moved], moved=False).among(np.arange(2))[1, 0] > 0.8

    @pytest.mark.medium
    def test_threads_change_nothing(self) -> None:
        photos = [again(scene(seed // 2, 96, 128), seed) for seed in range(4)]
        one, four = (resemblance(photos, threads=threads) for threads in (1, 4))
        assert np.array_equal(one.left, four.left)

    @pytest.mark.parametrize("size", [(1, 1), (1, 5000), (300, 7), (2000, 3000)])
    def test_any_photo_has_a_thumbnail(self, size: tuple[int, int]) -> None:
        small = thumbnail(np.zeros((*size, 3), np.uint8))
        assert 32 <= min(small.shape[:2]) <= max(small.shape[:2]) <= 256
        resemblance([small, small])


def all_compared(cost: NDArray[np.float64], left: NDArray[np.float64]) -> Resemblance:
    """Every photo with every other."""
    count = len(cost)
    others = np.array([[other for other in range(count) if other != photo] for photo in range(count)])
    return Resemblance(cost, others, np.take_along_axis(left, others, axis=1))


def made_up(left: float, photos: int, strangers: int = 0) -> Resemblance:
    shares = np.ones((photos + strangers, photos + strangers))
    shares[:photos, :photos] = left
    return all_compared(np.full(photos + strangers, 100.0), shares)


class TestPlanning:
    def test_photos_of_one_camera_refer_to_a_finer_one_and_strangers_to_none(self) -> None:
        names = [f"photo-{number}" for number in range(8)]
        plan = planned(names, made_up(0.2, 6, 2))
        roles = [plan[name].role for name in names]
        assert roles.count(Role.KEY) >= 1
        assert roles[6:] == [Role.ALONE, Role.ALONE]
        assert all(plan[key].role is Role.KEY for each in plan.photos.values() for key in each.keys)
        assert Role.ALONE not in roles[:6]

    def test_the_more_photos_refer_to_it_and_the_more_it_explains_the_finer_a_key_photo_is(self) -> None:
        def finest(left: float, photos: int) -> float:
            plan = planned([str(number) for number in range(photos)], made_up(left, photos))
            return max((each.finer for each in plan.photos.values()), default=0.0)

        assert finest(0.2, 3) < finest(0.2, 8) < finest(0.2, 40) <= 80
        assert finest(0.6, 8) < finest(0.2, 8)

    def test_a_key_photo_is_worth_a_step_of_effort_for_each_photo_that_it_serves_up_to_three(self) -> None:
        def efforts(photos: int) -> list[int]:
            plan = planned([str(number) for number in range(photos)], made_up(0.2, photos))
            return sorted(each.effort for each in plan.photos.values() if each.role is Role.KEY)

        assert (efforts(3), efforts(8)) == ([2], [3])
        refer = planned(["0", "1", "2"], made_up(0.2, 3)).photos.values()
        assert [each.effort for each in refer if each.role is Role.REFERS] == [0, 0]

    def test_it_is_predicted_to_take_less_than_each_photo_alone(self) -> None:
        for photos in (2, 3, 5, 10, 30):
            for left in (0.1, 0.3, 0.6, 0.85):
                names = [str(number) for number in range(photos)]
                plan = planned(names, made_up(left, photos))
                assert sum(plan[name].share for name in names) <= photos

    def test_groups_are_planned_as_if_each_were_alone(self) -> None:
        """Which photos belong together is found from either side: here, only one of two says it of the other."""
        generator = np.random.default_rng(0)
        shares = np.ones((9, 9))
        for first, second in [(0, 4), (4, 7), (2, 7), (1, 8), (5, 1)]:
            shares[first, second] = generator.uniform(0.1, 0.5)
        cost = generator.uniform(100, 200, 9)
        names = [str(number) for number in range(9)]
        whole = planned(names, all_compared(cost, shares))
        for group in ([0, 2, 4, 7], [1, 5, 8]):
            own = planned([names[photo] for photo in group], all_compared(cost[group], shares[np.ix_(group, group)]))
            assert {name: whole[name] for name in own.photos} == own.photos
            assert own.photos
        assert whole["3"].role is whole["6"].role is Role.ALONE

    def test_a_large_folder_of_small_groups_takes_no_memory_for_all_pairs(self) -> None:
        count = 1000
        others = (np.arange(count) ^ 1)[:, None]  # in pairs
        seen = Resemblance(np.full(count, 9.0), others, np.full((count, 1), 0.1))
        tracemalloc.start()
        plan = planned([str(number) for number in range(count)], seen)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * count * count  # bytes: less than one number for each pair
        assert sum(each.role is Role.REFERS for each in plan.photos.values()) == count // 2

    def test_photos_of_one_colour_cost_nothing_and_are_planned_all_the_same(self) -> None:
        assert planned(["a", "b"], all_compared(np.zeros(2), np.ones((2, 2)))).photos == {}
        # Nothing is left of nothing: no reason to refer to it.
        assert planned(["a", "b", "c"], all_compared(np.array([0.0, 0, 500]), np.zeros((3, 3)))).photos == {}
