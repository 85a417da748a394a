"""What a job is made of, networks, starts, photos, a dictionary, belongs together; else one line says what does not."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from clc.errors import ProfileError, TrainingError
from clc.images import open_source
from clc.model.config import Conditioning, ModelConfig
from clc.runtime.profile_file import validated
from clc.store import Version
from clc.training.config import Part
from clc.training.job import AdaptedPreset, TrainingJob
from clc.training.train import train
from tests.conftest import World, write_photos
from tests.miniature import MINIATURE, NAME
from tests.training.test_training import CONFIG


def job(world: World, **changes: object) -> TrainingJob:
    given = {
        "photos": open_source(f"folder:{world.photos}"),
        "network": AdaptedPreset(preset=NAME),
        "config": CONFIG,
        "assignments": world.assignments,
        "dictionary": world.dictionary,
    }
    return TrainingJob(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.medium
def test_training_starts_from_the_weights_of_a_model_conditioned_elsewhere(world: World, tmp_path: Path) -> None:
    assert world.model.attributes["config"]["conditioning"] == Conditioning.PAPER
    still = CONFIG.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    prior = AdaptedPreset(preset=NAME, conditioning=Conditioning.PRIOR)
    started = train(
        job(world, network=prior, config=still, start=world.model), store=world.store, runs=tmp_path
    ).version
    assert started.manifest.recipe.inputs["start"] == world.model.ref
    before, after = (version.tensors("weights") for version in (world.model, started))
    for name in ("g_a.layers.1.weight", "gain.log_gain"):
        assert np.allclose(before[name], after[name], rtol=1e-3)


def test_what_only_codes_with_references_needs_a_start(world: World, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"part": Part.CONDITIONED, "unconditioned_share": 0.0})
    with pytest.raises(TrainingError, match="--from"):
        train(job(world, config=config), store=world.store, runs=tmp_path)


def test_a_start_may_be_conditioned_elsewhere_or_not_at_all_and_wider_inside_g_s(world: World, tmp_path: Path) -> None:
    preset = MINIATURE
    shared = preset.model_copy(update={"prior_matching": preset.prior_matching.model_copy(update={"apart": False})})
    wider = preset.transform.model_copy(update={"synthesis_hidden": None})
    changes = ({"conditioning": Conditioning.NONE}, {"transform": wider})
    for start in (shared, *(preset.model_copy(update=change) for change in changes)):
        assert job(world, start=version_of(start)).check() is None  # type: ignore[func-returns-value]
    narrower = shared.model_copy(update={"references": 2})
    with pytest.raises(TrainingError, match="another network"):
        job(world, start=version_of(narrower)).check()


@pytest.mark.medium
def test_no_steps_publish_a_start_as_it_is(world: World, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": 0})
    with pytest.raises(TrainingError, match="--from"):
        train(job(world, config=config), store=world.store, runs=tmp_path)
    published = train(job(world, config=config, start=world.model), store=world.store, runs=tmp_path).version
    before, after = (version.tensors("weights") for version in (world.model, published))
    for name in ("g_a.layers.1.weight", "g_s.layers.0.weight", "gain.log_gain"):
        assert np.array_equal(before[name], after[name])


def version_of(config: ModelConfig) -> Version:
    """What `TrainingJob.check` looks at."""
    return cast(Version, SimpleNamespace(attributes={"config": config.model_dump(mode="json")}))


def test_a_model_names_every_photo_it_has_seen(world: World) -> None:
    named = world.model.table("photos")["image_id"].to_pylist()
    assert sorted(named) == sorted(path.name for path in world.photos.iterdir())


def test_a_start_from_another_network_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="another network"):
        train(
            job(world, network=AdaptedPreset(preset=NAME, references=2), start=world.model),
            store=world.store,
            runs=tmp_path,
        )


def test_assignments_of_other_photos_are_refused(world: World, tmp_path: Path) -> None:
    photos = open_source(f"folder:{world.test_photos}")
    with pytest.raises(TrainingError, match="retrieved for other photos"):
        train(job(world, photos=photos), store=world.store, runs=tmp_path)


def test_assignments_from_another_dictionary_are_refused(world: World, tmp_path: Path) -> None:
    other = replace(world.dictionary, manifest=world.dictionary.manifest.model_copy(update={"id": "ab" * 32}))
    with pytest.raises(TrainingError, match="was not retrieved from"):
        train(job(world, dictionary=other), store=world.store, runs=tmp_path)


def test_a_conditioned_model_needs_a_dictionary_and_an_unconditioned_one_takes_none(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="needs a dictionary"):
        train(job(world, dictionary=None, assignments=None), store=world.store, runs=tmp_path)
    with pytest.raises(TrainingError, match="takes none"):
        train(
            job(world, network=AdaptedPreset(preset=NAME, conditioning=Conditioning.NONE)),
            store=world.store,
            runs=tmp_path,
        )


def test_photos_smaller_than_a_tile_are_refused(tmp_path: Path, world: World) -> None:
    Image.new("RGB", (200, 300)).save(tmp_path / "small.png")
    network = AdaptedPreset(preset=NAME, conditioning=Conditioning.NONE)
    small = job(world, photos=open_source(f"folder:{tmp_path}"), network=network, dictionary=None, assignments=None)
    with pytest.raises(TrainingError, match="none of 1 photos has 256×256 pixels"):
        train(small, store=world.store, runs=tmp_path / "runs")


def test_a_folder_for_runs_that_cannot_be_written_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    another = job(world, config=CONFIG.model_copy(update={"seed": 77}))  # what the store has needs no folder
    with pytest.raises(TrainingError, match=r"cannot be written .*name another folder"):
        train(another, store=world.store, runs=tmp_path / "file")


@pytest.mark.medium
def test_training_without_a_dictionary(world: World, tmp_path: Path) -> None:
    photos = open_source(f"folder:{write_photos(tmp_path / 'photos', range(40, 45))}")
    network = AdaptedPreset(preset=NAME, conditioning=Conditioning.NONE)
    config = CONFIG.model_copy(update={"steps": 2, "held_out": 1})
    alone = TrainingJob(photos=photos, network=network, config=config)
    version = train(alone, store=world.store, runs=tmp_path / "runs").version
    assert "dictionary" not in version.attributes
    assert version.statistics["photos"] == 5


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ProfileError, match=r"use one of .*tiny"):
        validated(AdaptedPreset, {"preset": "huge"}, "model")
