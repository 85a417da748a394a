"""Training can be interrupted, repeated and refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clc.codec.model import CompressionModel
from clc.codec.presets import PRESETS
from clc.errors import ProfileError, TrainingError
from clc.profile import validated
from clc.store import Kind
from clc.training.checkpoint import load_checkpoint, save_checkpoint
from clc.training.data import TrainingSet
from clc.training.loop import Trainer, TrainingConfig
from clc.training.references import ReferencePool
from clc.training.related import related_view
from clc.training.train import ModelChoice, train
from tests.conftest import World, picture

CONFIG = TrainingConfig(steps=8, batch=2, crop=64, refresh_every=2, checkpoint_every=2, learning_rate=1e-3)


@pytest.fixture
def trainer(world: World, tmp_path: Path) -> Trainer:
    return new_trainer(world, tmp_path / "checkpoint.safetensors")


def new_trainer(world: World, checkpoint: Path) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        model=CompressionModel(PRESETS["tiny"]),
        data=TrainingSet(world.crops, world.assignments),
        pool=ReferencePool(world.dictionary),
        config=CONFIG,
        checkpoint=checkpoint,
        run="test",
    )


class KilledError(Exception):
    """Stands for the end of the process."""


def test_a_killed_run_resumes_to_the_same_losses(world: World, trainer: Trainer, tmp_path: Path) -> None:
    undisturbed = trainer.train()
    killed = new_trainer(world, tmp_path / "other.safetensors")
    steps = killed._step

    def die_at_seven(step: int, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        if step == 7:
            raise KilledError
        return steps(step, optimiser)

    killed._step = die_at_seven  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        killed.train()
    resumed = new_trainer(world, tmp_path / "other.safetensors")
    torch.nn.init.zeros_(resumed.model.g_s.layers[0].weight)  # whatever was there is replaced
    assert resumed.train() == undisturbed


def test_the_loss_falls(trainer: Trainer) -> None:
    trainer.config = CONFIG.model_copy(update={"steps": 24, "warm_up": 2, "refresh_every": 4, "unconditioned_share": 0})
    trainer.data.pixels = trainer.data.pixels[:1]
    trainer.data.entries = trainer.data.entries[:1]
    log = trainer.train()
    assert np.mean([row["loss"] for row in log[-2:]]) < 0.8 * np.mean([row["loss"] for row in log[:2]])


def test_a_checkpoint_of_another_run_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    optimiser = torch.optim.Adam(trainer.model.parameters())
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, run="one", step=4, model=trainer.model, optimiser=optimiser, log=[])
    with pytest.raises(TrainingError, match="another configuration"):
        load_checkpoint(path, run="two", model=trainer.model, optimiser=optimiser)
    assert load_checkpoint(path, run="one", model=trainer.model, optimiser=optimiser) == (4, [])


def test_a_damaged_checkpoint_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"half a checkpoint")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(path, run="one", model=trainer.model, optimiser=torch.optim.Adam(trainer.model.parameters()))


def test_divergence_stops_the_run_and_names_the_crops(trainer: Trainer) -> None:
    with torch.no_grad():
        trainer.model.g_s.layers[0].weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"not finite at step 0 \(crops \["):
        trainer.train()


def test_assignments_of_other_crops_are_refused(world: World) -> None:
    other = world.store.get(Kind.PATCHES, world.dictionary.manifest.recipe.inputs["patches"])
    with pytest.raises(TrainingError, match="was not retrieved for"):
        TrainingSet(other, world.assignments)


def test_assignments_from_another_dictionary_are_refused(world: World, tmp_path: Path) -> None:
    other = replace(world.dictionary, manifest=world.dictionary.manifest.model_copy(update={"id": "ab" * 32}))
    with pytest.raises(TrainingError, match="was not retrieved from"):
        train(
            world.crops,
            world.assignments,
            other,
            choice=ModelChoice(),
            config=CONFIG,
            store=world.store,
            checkpoints=tmp_path,
        )


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ProfileError, match="use one of tiny"):
        validated(ModelChoice, {"preset": "huge"}, "model")


def test_a_related_view_shows_the_same_place() -> None:
    source, other = picture(0, 288, 288), picture(1, 288, 288)
    view = related_view(source, other, np.random.default_rng(0), mirrored=False).astype(float)
    windows = [source[y : y + 256, x : x + 256] for y in range(33) for x in range(33)]
    correlations = [np.corrcoef(view[::8, ::8].ravel(), window[::8, ::8].ravel())[0, 1] for window in windows]
    assert max(correlations) > 0.8
    assert np.corrcoef(view[::8, ::8].ravel(), other[:256, :256][::8, ::8].ravel())[0, 1] < 0.6


def test_a_mirrored_view_is_the_mirror_image() -> None:
    source, other = picture(0, 288, 288), picture(1, 288, 288)
    plain, mirrored = (related_view(source, other, np.random.default_rng(0), flag) for flag in (False, True))
    assert np.array_equal(mirrored, plain[:, ::-1])


def test_windows_are_cut_from_their_crop_mirrored_or_not(trainer: Trainer) -> None:
    batch = trainer.data.batch(np.random.default_rng(0), size=8, crop=64, quality=(1, 100))
    assert 0 < batch.mirrored.sum() < 8
    for window, row, mirrored in zip(batch.pixels, batch.rows, batch.mirrored, strict=True):
        upright = window[:, ::-1] if mirrored else window
        places = np.lib.stride_tricks.sliding_window_view(trainer.data.pixels[row], (64, 64, 3))[:, :, 0]
        corner = (places[:, :, 0, :, :] == upright[0]).all(axis=(2, 3))
        assert any(np.array_equal(places[y, x], upright) for y, x in np.argwhere(corner))


def test_batches_depend_on_the_step_alone(trainer: Trainer) -> None:
    trainer.pool.refresh(trainer.model)
    (first, references), (again, references_again) = trainer.batch(5), trainer.batch(5)
    assert np.array_equal(first.pixels, again.pixels)
    assert (references is None and references_again is None) or torch.equal(references, references_again)
    assert not np.array_equal(first.pixels, trainer.batch(6)[0].pixels)
