"""Crops and views that are gathered in batches are those that are cut one by one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from clc.images.provenance import PhotoIdentity
from clc.training.data.crops import CropPlace, TrainingSet
from clc.training.data.decoded_photos import TrainingPhoto
from clc.training.data.device_photos import DevicePhotos, DevicePlaces
from clc.training.data.device_views import draw_views, moved_views
from clc.training.data.related_views import Motion, moved_view
from clc.training.data.windows import grid_windows
from tests.conftest import picture

CPU = torch.device("cpu")
SIZES = ((400, 420), (256, 300), (310, 256))
PHOTOS = [torch.from_numpy(picture(seed, *size)) for seed, size in enumerate(SIZES)]
PLACES = [
    CropPlace(photo, x, y, 128, turns, mirrored)
    for photo, x, y in ((0, 40, 70), (1, 0, 128), (2, 128, 182))
    for turns in range(4)
    for mirrored in (False, True)
]


@pytest.fixture(scope="module")
def photos() -> DevicePhotos:
    return DevicePhotos(PHOTOS, CPU, slots=2, slot_size=64)


def cut_one_by_one(places: list[CropPlace]) -> Tensor:
    training = [TrainingPhoto(PhotoIdentity(str(i), str(i), b""), pixels) for i, pixels in enumerate(PHOTOS)]
    return TrainingSet(training, grid_windows(training)).crops(places)


def test_crops_are_equal_to_the_pixel_in_every_orientation(photos: DevicePhotos) -> None:
    crops = photos.crops(DevicePlaces.of(PLACES, CPU))
    assert crops.dtype == torch.uint8
    assert torch.equal(crops, cut_one_by_one(PLACES))


def test_places_can_be_looked_at(photos: DevicePhotos) -> None:
    places = DevicePlaces.of(PLACES, CPU)
    assert list(places) == PLACES
    assert places[2:4] == PLACES[2:4]
    assert list(places.repeated(2)) == [place for place in PLACES for _ in range(2)]


@pytest.mark.parametrize("motion", [Motion(), Motion(0.03, 1.02, 40.5, -37.0), Motion(-0.02, 0.97, -3.3, 8.1)])
def test_views_are_those_of_a_camera_that_moved(photos: DevicePhotos, motion: Motion) -> None:
    motions = torch.tensor([[motion.rotation, motion.zoom, motion.dx, motion.dy]]).repeat(len(PLACES), 1)
    views = moved_views(photos, DevicePlaces.of(PLACES, CPU), motions)
    for place, view in zip(PLACES, views, strict=True):
        # Sampling positions are rounded otherwise; where a photo is noisy that is a fraction of a level.
        assert (view - moved_view(PHOTOS[place.photo], place, motion)).abs().max() < 0.5, place


def test_crops_can_be_kept_as_photos(photos: DevicePhotos) -> None:
    crops = torch.from_numpy(np.stack([picture(9)[:64, :64], picture(8)[:64, :64]]))
    numbers = photos.put(crops)
    kept = photos.crops(DevicePlaces.of([CropPlace(int(number), 0, 0, 64, 0, False) for number in numbers], CPU))
    assert torch.equal(kept, crops)


@pytest.mark.medium
def test_drawn_views_show_the_same_place_under_another_light(photos: DevicePhotos) -> None:
    torch.manual_seed(0)
    place = CropPlace(0, 60, 50, 256, 0, mirrored=False)
    views = draw_views(photos, DevicePlaces.of([place] * 48, CPU))
    crop = PHOTOS[0][50:306, 60:316].float()
    likeness = sorted(float(np.corrcoef(view.float().flatten(), crop.flatten())[0, 1]) for view in views)
    changes = sorted(abs(float(view.float().mean() - crop.mean())) for view in views)
    assert views.dtype == torch.uint8
    assert likeness[-1] > 0.9
    assert changes[16] < 6.0
    assert all(not torch.equal(view.float(), crop) for view in views)
