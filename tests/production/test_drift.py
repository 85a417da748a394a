"""Drift: what counts as new, and when a rebuild follows."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from clc.dictionary.stages.patches import CropConfig
from clc.images import open_source
from clc.production.drift import Drift, DriftConfig, Rebuild, measure_drift
from tests.conftest import World, picture

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


def test_a_rebuild_follows_photos_of_another_kind_and_not_more_of_the_same(world: World, tmp_path: Path) -> None:
    same, other = (shutil.copytree(world.photos, tmp_path / name) for name in ("same", "other"))
    for seed in range(4):
        brighter = np.clip(picture(seed).astype(int) + 1, 0, 255)
        Image.fromarray(brighter.astype(np.uint8)).save(same / f"brighter-{seed}.png")
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::16] = 255
    Image.fromarray(stripes).save(other / "stripes.png")
    near, far = drift_with(world, same), drift_with(world, other)
    assert (near.photos, far.photos) == (4, 1)
    assert near.ratio is not None
    assert far.ratio is not None
    between = DriftConfig(rebuild=Rebuild.ABOVE, threshold=1.3 * near.ratio)
    assert far.asks_for_rebuild(between)
    assert not near.asks_for_rebuild(between)
