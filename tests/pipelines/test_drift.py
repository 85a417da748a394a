"""Drift: what counts as new, and when a rebuild follows."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from clc.dictionary.patches import CropConfig
from clc.drift import Drift, DriftConfig, Rebuild, measure_drift
from clc.images import open_source
from tests.conftest import World, write_photos

ABOVE = DriftConfig(rebuild=Rebuild.ABOVE, threshold=1.2)


def drift_with(world: World, folder: Path) -> Drift:
    return measure_drift(open_source(f"folder:{folder}"), world.dictionary, crop=CropConfig(), store=world.store)


def test_photos_that_the_dictionary_was_built_from_are_not_new(world: World, tmp_path: Path) -> None:
    unchanged = drift_with(world, world.photos)
    (shutil.copytree(world.photos, tmp_path / "fewer") / "photo-0.png").unlink()
    for drift in (unchanged, drift_with(world, tmp_path / "fewer")):
        assert drift == Drift(0, 0, None, None)
        assert not drift.asks_for_rebuild(ABOVE)
        assert drift.asks_for_rebuild(DriftConfig(rebuild=Rebuild.ALWAYS))


def test_other_photos_are_farther_than_more_of_the_same_kind(world: World, tmp_path: Path) -> None:
    same = drift_with(world, write_photos(shutil.copytree(world.photos, tmp_path / "same"), range(50, 54)))
    other = shutil.copytree(world.photos, tmp_path / "other")
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(other / "stripes.png")
    different = drift_with(world, other)
    assert same.photos == 4
    assert different.photos == 1
    assert same.ratio is not None
    assert different.ratio is not None
    assert different.ratio > 1.2 * same.ratio
    assert different.asks_for_rebuild(DriftConfig(rebuild=Rebuild.ABOVE, threshold=1.1 * same.ratio))
    assert not same.asks_for_rebuild(DriftConfig(rebuild=Rebuild.ABOVE, threshold=1.1 * same.ratio))
