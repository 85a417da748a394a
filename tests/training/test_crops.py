"""Crops, and simulated references of them, are cut where they say they are."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clc.images import open_source
from clc.training.data.crops import CropPlace, TrainingSet
from clc.training.data.decoded_photos import decode_photos
from clc.training.data.related_views import Motion, moved_view, related_view
from clc.training.data.windows import assigned_windows, grid_windows
from tests.conftest import World, picture

PLACES = [
    CropPlace(0, 40, 70, size, turns, mirrored) for size in (64, 256) for turns in range(4) for mirrored in (0, 1)
]


@pytest.fixture(scope="module")
def crops(world: World) -> TrainingSet:
    photos = decode_photos(open_source(f"folder:{world.photos}"))
    return TrainingSet(photos, assigned_windows(photos, world.assignments))


@cache
def photo(seed: int = 0) -> Tensor:
    return torch.from_numpy(picture(seed, 400, 420))


def test_photos_are_decoded_as_they_are(crops: TrainingSet) -> None:
    assert [each.image_id for each in crops.photos] == [f"photo-{seed}.png" for seed in range(6)]
    for seed, each in enumerate(crops.photos):
        assert np.array_equal(each.pixels.numpy(), picture(seed))


def test_a_grid_covers_every_pixel_and_leaves_small_photos_out(tmp_path: Path, crops: TrainingSet) -> None:
    windows = grid_windows(crops.photos)
    covered = np.zeros(crops.photos[2].pixels.shape[:2], dtype=bool)
    for number, x, y in zip(windows.photo, windows.x, windows.y, strict=True):
        if number == 2:
            covered[y : y + 256, x : x + 256] = True
    assert covered.all()


def test_windows_are_those_that_references_were_retrieved_for(crops: TrainingSet, world: World) -> None:
    rows = world.assignments.table("assignments").to_pylist()
    assert len(crops) == len(rows)
    for row, number, x, y in zip(rows, crops.windows.photo, crops.windows.x, crops.windows.y, strict=True):
        assert (row["image_id"], row["x"], row["y"]) == (crops.photos[number].image_id, x, y)
    assert crops.windows.entries is not None
    assert crops.windows.entries.tolist() == [row["entries"] for row in rows]


def test_places_depend_on_the_generator_alone(crops: TrainingSet) -> None:
    first, again, other = (crops.draw_places(np.random.default_rng(seed), number=4, crop=64)[1] for seed in (3, 3, 4))
    assert first == again
    assert torch.equal(crops.crops(first), crops.crops(again))
    assert not torch.equal(crops.crops(first), crops.crops(other))


def test_crops_come_in_all_orientations_and_lie_inside_their_photos(crops: TrainingSet) -> None:
    _, places = crops.draw_places(np.random.default_rng(0), number=64, crop=128)
    assert {(place.turns, place.mirrored) for place in places} == {(t, m) for t in range(4) for m in (False, True)}
    assert crops.crops(places).shape == (64, 128, 128, 3)
    for place in places:
        height, width = crops.photos[place.photo].pixels.shape[:2]
        assert 0 <= place.x <= width - 128
        assert 0 <= place.y <= height - 128


@pytest.mark.parametrize("place", PLACES)
def test_an_unmoved_view_begins_with_the_crop_itself(place: CropPlace) -> None:
    square = photo()[place.y : place.y + place.size, place.x : place.x + place.size].numpy()
    crop = np.rot90(square, place.turns)
    crop = crop[:, ::-1] if place.mirrored else crop
    view = moved_view(photo(), place, Motion())
    assert view.shape == (256, 256, 3)
    assert np.abs(view[: place.size, : place.size].numpy() - crop).max() < 0.1


def test_a_shift_moves_the_view_by_so_many_pixels() -> None:
    still, moved = (
        moved_view(photo(), CropPlace(0, 60, 50, 256, 0, False), motion) for motion in (Motion(), Motion(dx=7, dy=-3))
    )
    assert torch.allclose(moved[3:, :-7], still[:-3, 7:], atol=0.1)


def test_beyond_the_border_a_photo_is_reflected() -> None:
    view = moved_view(photo(), CropPlace(0, 164, 0, 256, 0, False), Motion(dx=40.0))  # the crop ends at the border
    assert torch.allclose(view[:, 216:], view[:, 175:215].flip(1), atol=0.1)


def test_a_related_view_shows_the_same_place_under_another_light() -> None:
    place = CropPlace(0, 60, 50, 256, 0, False)
    crop = photo()[50:306, 60:316].float()
    generator = np.random.default_rng(0)
    views = [related_view(photo(), place, photo(1), generator).float() for _ in range(24)]
    best = max(float(np.corrcoef(view.flatten(), crop.flatten())[0, 1]) for view in views)
    assert best > 0.9
    assert all(not torch.equal(view, crop) for view in views)


def test_the_light_mostly_changes_little() -> None:
    """As between two photos of a fixed camera: half of the views stay within some levels of the crop in the mean."""
    place = CropPlace(0, 60, 50, 256, 0, False)
    crop = photo()[50:306, 60:316].float()
    generator = np.random.default_rng(0)
    views = [related_view(photo(), place, photo(1), generator).float() for _ in range(60)]
    changes = sorted(abs(float(view.mean() - crop.mean())) for view in views)
    assert changes[20] < 6.0
    assert changes[-1] > 10.0
