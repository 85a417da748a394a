"""The forest: never more bytes than alone, and on small sets the best there is."""

import numpy as np
import pytest

from clc.archive.forest import PredictedBytes, plan_exhaustively, plan_forest
from clc.archive.plan import Plan


def made_up(seed: int, photos: int) -> PredictedBytes:
    """Scenes of photos that predict one another well, and strangers."""
    generator = np.random.default_rng(seed)
    scene = generator.integers(0, max(1, photos // 3), photos)
    sizes = generator.uniform(5_000, 50_000, photos)
    share = np.where(scene[:, None] == scene, generator.uniform(0.2, 1.1, (photos, photos)), np.inf)
    return PredictedBytes(sizes, sizes * generator.uniform(1.0, 1.5, photos), sizes[:, None] * share)


def total(predicted: PredictedBytes, plan: Plan) -> float:
    keys = plan.keys
    return sum(
        min(predicted.given[photo, list(of)])
        if of
        else predicted.key[photo]
        if photo in keys
        else predicted.alone[photo]
        for photo, of in enumerate(plan.references)
    )


def test_on_small_sets_it_is_nearly_always_the_best_and_never_far_from_it() -> None:
    excess = []
    for seed in range(60):
        predicted = made_up(seed, 4 + seed % 6)
        best = total(predicted, plan_exhaustively(predicted, most=3))
        excess.append(total(predicted, plan_forest(predicted, most=3)) / best - 1)
    assert min(excess) > -1e-9
    assert max(excess) < 0.03
    assert np.mean(np.array(excess) < 1e-9) > 0.9


def test_it_never_takes_more_than_coding_each_photo_alone() -> None:
    for seed in range(20):
        predicted = made_up(seed, 40)
        assert total(predicted, plan_forest(predicted, most=3)) <= predicted.alone.sum() + 1e-6


def test_strangers_stay_alone() -> None:
    predicted = PredictedBytes(np.full(4, 10.0), np.full(4, 10.0), np.full((4, 4), np.inf))
    assert plan_forest(predicted, most=3) == Plan(((),) * 4)


def test_a_fixed_camera_is_one_tree() -> None:
    given = np.full((6, 6), 2.0)
    predicted = PredictedBytes(np.full(6, 10.0), np.array([15.0, 15, 12, 15, 15, 15]), given)
    assert plan_forest(predicted, most=1).references == ((2,), (2,), (), (2,), (2,), (2,))


def test_a_photo_refers_to_no_more_than_allowed_the_best_first() -> None:
    given = np.full((5, 5), np.inf)
    given[4] = [7.0, 5.0, 6.0, 9.9, 0.0]
    given[0, 1] = given[1, 2] = given[2, 0] = given[3, 0] = 99.0  # whoever is a key is one for the last photo's sake
    predicted = PredictedBytes(np.full(5, 10.0), np.full(5, 10.0), given)
    assert plan_forest(predicted, most=3).references[4] == (1,)  # one is enough: more help by no byte that is predicted
    both = PredictedBytes(np.array([10.0, 10, 10, 10]), np.array([10.0, 10, 12, 12]), np.full((4, 4), np.inf))
    both.given[2] = [5.0, 6.0, 0, np.inf]
    both.given[3] = [6.0, 5.0, np.inf, 0]
    assert plan_forest(both, most=2).references == ((), (), (0, 1), (1, 0))
    assert plan_forest(both, most=1).references == ((), (), (0,), (1,))


def test_predictions_must_be_numbers_of_one_set() -> None:
    with pytest.raises(ValueError, match="numbers"):
        PredictedBytes(np.array([np.nan]), np.ones(1), np.ones((1, 1)))
    with pytest.raises(ValueError, match="2 photos"):
        PredictedBytes(np.ones(2), np.ones(2), np.ones((2, 1)))
    with pytest.raises(ValueError, match="at most 16"):
        plan_exhaustively(made_up(0, 17), most=3)


class TestPlan:
    def test_key_photos_are_those_that_are_referred_to(self) -> None:
        assert Plan(((), (0,), (), (0, 2), ())).keys == {0, 2}

    @pytest.mark.parametrize("references", [((0,),), ((1,), (0,)), ((), (0,), (1,)), ((5,), ())])
    def test_the_depth_is_one(self, references: tuple[tuple[int, ...], ...]) -> None:
        with pytest.raises(ValueError, match="no key photo"):
            Plan(references)
