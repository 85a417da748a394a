"""What is drawn where the model is trains it as what is drawn by the CPU does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clc.errors import TrainingError
from clc.training.config import Drawing, Optimiser, TrainingConfig
from clc.training.data.batches import TrainingBatch
from clc.training.data.device_batches import DeviceBatches
from clc.training.distributed import Processes
from clc.training.graphs import captured
from clc.training.loop import Trainer
from clc.training.optimisers import Optimisers
from clc.training.step import DeviceSteps, HostSteps, Network
from tests.conftest import World
from tests.training.test_training import CONFIG, KilledError, losses, new_trainer

HERE = CONFIG.model_copy(
    update={
        "drawing": Drawing.DEVICE,
        "quality_per_crop": True,
        "unconditioned_share": 0.5,
        "pattern_share": 0.3,
        "related_share": 0.9,
        "log_every": 2,
        "steps": 6,
    }
)
CPU = torch.device("cpu")


def network_of(trainer: Trainer) -> Network:
    assert trainer.pool is not None
    trainer.pool.refresh(trainer.model.g_a)
    trainer.model.train()
    optimisers = Optimisers(trainer.model, trainer.config)
    return Network(trainer.model, trainer.model, trainer.pool, trainer.config, optimisers)


class Given:
    """Batches that were drawn before, in place of those that would be drawn."""

    def __init__(self, batches: list[TrainingBatch]) -> None:
        self._batches = batches

    def upcoming(self, step: int, share: range, loaders: int) -> Iterator[TrainingBatch]:
        return iter(self._batches)


@pytest.mark.parametrize("optimiser", list(Optimiser))
@pytest.mark.parametrize("conditioned", [False, True])
def test_a_step_is_that_of_the_ordinary_path_with_the_same_batch(
    world: World, tmp_path: Path, conditioned: bool, optimiser: Optimiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = HERE.model_copy(update={"unconditioned_share": 0.0 if conditioned else 1.0, "optimiser": optimiser})
    ordinary, other = (new_trainer(world, tmp_path / name, config) for name in ("ordinary", "device"))
    batches = DeviceBatches(other.data, config, CPU)
    torch.manual_seed(5)
    drawn = batches.draw(conditioned)
    assert (drawn.entries is not None) == conditioned
    # As the CPU would hand it over: places one by one, their pixels cut there, only the views that are used.
    places = list(drawn.places)
    usual = ~drawn.unusual
    assert torch.equal(drawn.pixels[usual], ordinary.data.crops(places)[usual])
    handed = replace(drawn, places=places)
    if drawn.related is not None and drawn.views is not None:
        assert drawn.related.any()
        handed = replace(handed, views=drawn.views[drawn.related.flatten()])
    host = HostSteps(network_of(ordinary), Given([handed]), 0, range(1), Processes(), 0)  # type: ignore[arg-type]
    host.run(0, 1e-3)
    device = DeviceSteps(network_of(other), batches)
    monkeypatch.setattr(batches, "draw", lambda conditioned: drawn)
    device.run(0, 1e-3)
    (expected,), (found,) = host.rows(True), device.rows(True)
    for name in ("loss", "bpp", "psnr", "gradient_norm", "learning_rate"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4), name
    names = [name for name, _ in ordinary.model.named_parameters()]
    for name, one, two in zip(names, ordinary.model.parameters(), other.model.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None and two.grad is not None:
            assert (one.grad - two.grad).norm() <= 1e-2 * one.grad.norm() + 1e-7, name
        # Adam's first step has one size, so a gradient of nothing but rounding errors may go either way.
        assert (one - two).abs().mean() < 5e-5, name


@pytest.mark.medium
def test_a_killed_run_resumes_to_the_same_losses(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = HERE.model_copy(update={"optimiser": Optimiser.MUON})
    undisturbed = new_trainer(world, tmp_path / "undisturbed", config)
    expected = undisturbed.train()
    run = DeviceSteps.run

    def die(self: DeviceSteps, step: int, learning_rate: float) -> None:
        if step == 5:
            raise KilledError
        run(self, step, learning_rate)

    monkeypatch.setattr(DeviceSteps, "run", die)
    with pytest.raises(KilledError):
        new_trainer(world, tmp_path / "killed", config).train()
    monkeypatch.undo()
    resumed = new_trainer(world, tmp_path / "killed", config)
    torch.nn.init.zeros_(resumed.model.g_s.layers[0].weight)  # whatever was there is replaced
    assert losses(resumed.train()) == losses(expected)
    for one, other in zip(undisturbed.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.medium
def test_batches_are_of_the_same_kind_as_those_of_the_cpu(world: World, tmp_path: Path) -> None:
    config = HERE.model_copy(update={"batch": 32, "related_share": 0.5, "pattern_share": 0.25})
    trainer = new_trainer(world, tmp_path, config)
    torch.manual_seed(0)
    batches = DeviceBatches(trainer.data, config, CPU)
    here = batches.draw(conditioned=True)
    there = trainer.batches.draw(0, 0, 0.0)
    assert here.pixels.shape == there.pixels.shape
    assert here.entries is not None
    assert there.entries is not None
    assert here.entries.shape == there.entries.shape
    windows = trainer.data.windows
    assert windows.entries is not None
    known = {(int(p), *map(int, row)) for p, row in zip(windows.photo, windows.entries, strict=True)}
    for place, entries in zip(here.places, here.entries.tolist(), strict=True):
        assert (place.photo, *entries) in known
        height, width = trainer.data.photos[place.photo].pixels.shape[:2]
        assert 0 <= place.x <= width - config.crop
        assert 0 <= place.y <= height - config.crop
    orientations = {(place.turns, place.mirrored) for _ in range(4) for place in batches.draw(conditioned=False).places}
    assert orientations == {(turns, mirrored) for turns in range(4) for mirrored in (False, True)}
    assert 2 <= int(here.unusual.sum()) <= 16
    assert here.related is not None
    crops_with = here.related.any(dim=1)
    assert 6 <= int(crops_with.sum()) <= 26
    assert {int(each) for each in here.related.sum(dim=1)} == {0, 1, 2, 3}
    assert isinstance(here.quality, torch.Tensor)
    assert len(set(here.quality.tolist())) == 32
    assert 1.0 <= here.quality.min() < 25 < 75 < here.quality.max() <= 100.0


def test_one_quality_for_all_crops_unless_each_has_its_own(world: World, tmp_path: Path) -> None:
    config = HERE.model_copy(update={"quality_per_crop": False})
    here = DeviceBatches(new_trainer(world, tmp_path, config).data, config, CPU).draw(conditioned=False)
    assert isinstance(here.quality, torch.Tensor)
    assert len(set(here.quality.tolist())) == 1


def test_it_is_for_one_batch_in_one_process(world: World, tmp_path: Path) -> None:
    trainer = new_trainer(world, tmp_path, HERE.model_copy(update={"devices": 2}))
    with pytest.raises(TrainingError, match="set devices to 1"):
        trainer.train()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_step_that_cannot_be_captured_is_run_as_it_is_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    runs = []
    with caplog.at_level("WARNING", logger="clc"):
        run, _ = captured(lambda: runs.append(1), "plain")
    run()
    assert runs == [1]
    assert len(caplog.messages) == 1
    assert "graph=none step=plain: launched kernel by kernel" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


def test_a_default_recipe_is_that_of_runs_from_before(world: World) -> None:
    assert TrainingConfig(steps=6).identity == {
        "steps": 6, "epochs": None, "minutes": None, "batch": 8, "devices": None, "crop": 128,
        "qualities": [1.0, 100.0], "distortion": "mse", "learning_rate": 4e-4, "transform_rate": 0.2,
        "schedule": "cosine", "warm_up": 100, "gradient_clip": 0.5, "average": 0.998, "precision": "float32",
        "compile": False, "part": "all", "unconditioned_share": 0.25, "related_share": 0.5, "pattern_share": 0.04,
        "refresh_every": 100, "log_every": 50, "validate_every": 1000, "held_out": 8, "checkpoint_every": 200,
        "seed": 0,
    }  # fmt: skip
    changed = TrainingConfig(steps=6, optimiser=Optimiser.MUON, quality_per_crop=True)
    assert changed.identity == TrainingConfig(steps=6).identity | {"optimiser": "muon", "quality_per_crop": True}
