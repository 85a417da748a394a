"""A share of the crops becomes what photos seldom show; all else is drawn as without."""

import numpy as np
import pytest
import torch

from clc.errors import ProfileError
from clc.images import open_source
from clc.images.extremes import out_of_focus, oversaturated
from clc.runtime.profile_file import validated
from clc.training.config import TrainingConfig
from clc.training.data.batches import TrainingBatch, TrainingBatches
from clc.training.data.crops import TrainingSet
from clc.training.data.decoded_photos import decode_photos
from clc.training.data.loaders import started
from clc.training.data.related_views import related_view
from clc.training.data.unusual_crops import unusual_crop
from clc.training.data.windows import assigned_windows
from clc.training.job import AdaptedPreset, TrainingJob
from tests.conftest import World, picture
from tests.miniature import NAME

CONFIG = TrainingConfig(steps=1, batch=8, crop=64, unconditioned_share=0.0, related_share=1.0, pattern_share=0.0)


@pytest.fixture(scope="module")
def data(world: World) -> TrainingSet:
    photos = decode_photos(open_source(f"folder:{world.photos}"))
    return TrainingSet(photos, assigned_windows(photos, world.assignments))


def batches(data: TrainingSet, share: float) -> TrainingBatches:
    return TrainingBatches(data, CONFIG.model_copy(update={"pattern_share": share}))


def photo_crops(data: TrainingSet, batch: TrainingBatch) -> torch.Tensor:
    return torch.stack([data.pixels(place) for place in batch.places])


def views_of(batch: TrainingBatch, rows: torch.Tensor) -> torch.Tensor:
    assert batch.views is not None
    assert batch.related is not None
    return batch.views[rows[batch.related.nonzero()[:, 0]]]


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(np.corrcoef(one.flatten(), other.flatten())[0, 1])


def test_without_patterns_a_batch_is_what_the_generator_alone_gives(data: TrainingSet) -> None:
    batch = batches(data, 0.0)[3, 1]
    generator = np.random.default_rng((CONFIG.seed, 3, 1))
    assert batch.quality == generator.uniform(*CONFIG.qualities)
    _, places = data.draw_places(generator, number=CONFIG.batch, crop=CONFIG.crop)
    assert torch.equal(batch.pixels, data.crops(places))
    assert batch.places == places
    assert not batch.unusual.any()
    generator.random()  # with references or without
    assert batch.related is not None
    number = batch.related.shape[1]
    generator.random(CONFIG.batch)  # which crops get related views
    other = data.windows.photo[generator.integers(len(data), size=CONFIG.batch)][0]
    slots = generator.permutation(number)[: generator.integers(1, number + 1)]
    assert batch.related[0].nonzero().flatten().tolist() == sorted(slots)
    place = places[0]
    first = related_view(data.photos[place.photo].pixels, place, data.photos[other].pixels, generator)
    assert batch.views is not None
    assert torch.equal(batch.views[0], first)


def test_with_patterns_all_other_crops_and_all_choices_stay(data: TrainingSet) -> None:
    without, mixed = batches(data, 0.0)[0, 0], batches(data, 0.5)[0, 0]
    unusual = mixed.unusual
    assert 0 < unusual.sum() < CONFIG.batch
    assert torch.equal(mixed.pixels[~unusual], without.pixels[~unusual])
    assert mixed.places == without.places
    assert mixed.quality == without.quality
    assert torch.equal(mixed.entries, without.entries)  # type: ignore[arg-type]
    assert torch.equal(mixed.related, without.related)  # type: ignore[arg-type]
    assert torch.equal(views_of(mixed, ~unusual), views_of(without, ~unusual))
    assert not torch.equal(views_of(mixed, unusual), views_of(without, unusual))


def test_a_share_of_one_changes_every_crop(data: TrainingSet) -> None:
    for step in range(4):
        batch = batches(data, 1.0)[step, 0]
        assert batch.unusual.all()
        assert batch.pixels.shape == (CONFIG.batch, CONFIG.crop, CONFIG.crop, 3)
        for changed, was in zip(batch.pixels, photo_crops(data, batch), strict=True):
            assert not torch.equal(changed, was)


def test_a_share_is_kept_on_average(data: TrainingSet) -> None:
    drawn = [batches(data, 0.25).draw(step, 0, 1.0).unusual for step in range(60)]
    assert 0.18 < torch.stack(drawn).float().mean() < 0.32


@pytest.mark.medium
def test_unusual_crops_are_the_same_in_any_order_and_from_any_process(data: TrainingSet) -> None:
    places = [(step, index) for step in range(2) for index in range(2)]
    here = {place: batches(data, 0.5)[place] for place in places}
    for place, there in zip(places[::-1], started(batches(data, 0.5), places[::-1], 2), strict=True):
        assert torch.equal(here[place].pixels, there.pixels)
        assert torch.equal(here[place].views, there.views)  # type: ignore[arg-type]


def test_related_views_show_what_the_crop_became(data: TrainingSet) -> None:
    batch = batches(data, 1.0)[0, 0]
    assert batch.views is not None
    assert batch.related is not None
    rows = batch.related.nonzero()[:, 0]
    became, was = batch.pixels[rows], photo_crops(data, batch)[rows]
    unlike = [likeness(*pair) < 0.2 for pair in zip(became, was, strict=True)]  # patterns alone
    views = batch.views[:, : CONFIG.crop, : CONFIG.crop]
    assert max(likeness(*pair) for pair in zip(views[unlike], became[unlike], strict=True)) > 0.9
    assert max(likeness(*pair) for pair in zip(views[unlike], was[unlike], strict=True)) < 0.5


def test_every_kind_of_change_is_met() -> None:
    crop = picture(3)[:64, :64]
    drawn = [unusual_crop(crop, np.random.default_rng(seed)) for seed in range(40)]
    assert all(each.shape == crop.shape and each.dtype == np.uint8 for each in drawn)
    kept = [(each == crop).all(axis=2).mean() > 0.2 for each in drawn]
    assert 2 < sum(kept) < 20  # a pattern beside the photo


def test_out_of_focus_is_smooth_and_oversaturated_is_colourful() -> None:
    crop = picture(3)[:64, :64]
    for seed in range(6):
        blurred, colourful = (effect(crop, np.random.default_rng(seed)) for effect in (out_of_focus, oversaturated))
        assert (
            np.abs(np.diff(blurred.astype(int), axis=0)).mean() < 0.3 * np.abs(np.diff(crop.astype(int), axis=0)).mean()
        )
        assert np.ptp(colourful, axis=2).mean() > 1.3 * np.ptp(crop, axis=2).mean()


@pytest.mark.parametrize("share", [-0.1, 1.1, "many"])
def test_a_share_lies_between_0_and_1(share: object) -> None:
    with pytest.raises(ProfileError, match="pattern_share"):
        validated(TrainingConfig, {"steps": 1, "pattern_share": share}, "training")


def test_a_recipe_without_patterns_is_that_of_runs_from_before_there_were_any(world: World) -> None:
    plain, mixed = (
        TrainingJob(
            open_source(f"folder:{world.photos}"),
            AdaptedPreset(preset=NAME),
            CONFIG.model_copy(update={"pattern_share": share}),
        )
        for share in (0.0, 0.04)
    )
    assert "pattern_share" not in plain.recipe.config["training"]  # type: ignore[operator]
    assert mixed.recipe.config["training"] == {**plain.recipe.config["training"], "pattern_share": 0.04}  # type: ignore[dict-item]
