"""A run that diverges goes back to a snapshot and on from there more slowly; again and again, it stops."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clc.errors import TrainingError
from clc.training.config import Drawing
from clc.training.data.batches import TrainingBatch, TrainingBatches
from clc.training.divergence import LossWatch
from clc.training.step import DeviceSteps
from tests.conftest import World
from tests.training.test_training import CONFIG, losses, new_trainer

HERE = CONFIG.model_copy(update={"log_every": 2, "steps": 6})


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Batches of these steps have a quality that no loss is finite at."""
    draw = TrainingBatches.__getitem__

    def poisoned(self: TrainingBatches, which: tuple[int, int]) -> TrainingBatch:
        batch = draw(self, which)
        return replace(batch, quality=torch.full((len(batch.places),), 1e6)) if which[0] in steps else batch

    monkeypatch.setattr(TrainingBatches, "__getitem__", poisoned)


@pytest.mark.medium
def test_a_poisoned_batch_costs_the_steps_since_the_snapshot(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poison(monkeypatch, {3})
    seen: list[list[torch.Tensor]] = []
    trainer = new_trainer(world, tmp_path, HERE)
    draw = TrainingBatches.__getitem__

    def remember(self: TrainingBatches, which: tuple[int, int]) -> TrainingBatch:
        seen.append([parameter.detach().clone() for parameter in trainer.model.parameters()])
        return draw(self, which)

    monkeypatch.setattr(TrainingBatches, "__getitem__", remember)
    with caplog.at_level("WARNING", logger="clc"):
        progress = trainer.train()
    assert progress.returns == 1
    assert "not finite at step 3, back to the weights of step 2, learning rate ×0.60, return 1 of 3" in caplog.text
    assert all(map(torch.equal, seen[4], seen[2]))  # what step 4 begins with is what step 2 began with
    assert not all(map(torch.equal, seen[3], seen[2]))
    assert json.loads((tmp_path / "diverged-3.json").read_text())["step"] == 3
    monkeypatch.undo()
    expected = new_trainer(world, tmp_path / "undisturbed", HERE).train().log[-1]["learning_rate"]
    assert progress.log[-1]["learning_rate"] == pytest.approx(0.6 * expected)
    assert all(map(math.isfinite, losses(progress)))


@pytest.mark.medium
def test_a_run_that_diverges_again_and_again_stops_with_the_batch_saved(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {1, 3, 4})
    trainer = new_trainer(world, tmp_path, HERE.model_copy(update={"returns": 2}))
    with pytest.raises(TrainingError, match=r"not finite at step 4; lower learning_rate, .*diverged-4.json"):
        trainer.train()
    written = json.loads((tmp_path / "diverged-4.json").read_text())
    places = trainer.batches.draw(4, 0, 0.0).places
    assert [crop["image_id"] for crop in written["crops"]] == [
        trainer.data.photos[place.photo].image_id for place in places
    ]


@pytest.mark.medium
@pytest.mark.parametrize("drawing", list(Drawing))
def test_a_huge_learning_rate_is_made_smaller_until_the_returns_are_spent(
    world: World, tmp_path: Path, drawing: Drawing, caplog: pytest.LogCaptureFixture
) -> None:
    config = HERE.model_copy(update={"learning_rate": 1e30, "warm_up": 0, "steps": 60, "drawing": drawing})
    trainer = new_trainer(world, tmp_path, config)
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    with caplog.at_level("WARNING", logger="clc"), pytest.raises(TrainingError, match="lower learning_rate"):
        trainer.train()
    assert caplog.text.count("back to the weights of step 0") == 3
    assert "learning rate ×0.22, return 3 of 3" in caplog.text
    assert before[0].isfinite().all()


@pytest.mark.medium
def test_what_a_device_finds_late_has_not_reached_the_snapshot(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = HERE.model_copy(update={"drawing": Drawing.DEVICE})
    trainer = new_trainer(world, tmp_path, config)
    run = DeviceSteps.run

    def spoil(self: DeviceSteps, step: int, learning_rate: float) -> None:
        run(self, step, math.nan if step == 2 else learning_rate)

    monkeypatch.setattr(DeviceSteps, "run", spoil)  # step 3 is the first whose loss is not finite
    with caplog.at_level("WARNING", logger="clc"):
        progress = trainer.train()
    assert "not finite at step 3, back to the weights of step 2" in caplog.text
    assert progress.returns == 1
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
    assert [row["step"] for row in progress.log] == [2.0, 6.0]


@pytest.mark.medium
def test_a_resumed_run_goes_on_as_slowly(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {1})
    new_trainer(world, tmp_path, HERE.model_copy(update={"steps": 4})).train()
    assert new_trainer(world, tmp_path, HERE).train().returns == 1


def test_a_loss_that_runs_away_is_told_from_one_that_varies() -> None:
    watch = LossWatch()
    usual = [0.3, 3.0] * 25
    assert not watch.diverged(usual)
    assert not watch.diverged([2 * loss for loss in usual])
    assert not watch.diverged([1000.0] * 5)  # too few to say
    assert watch.diverged([10 * loss for loss in usual])
    assert not watch.diverged(usual)
    assert watch.diverged([1.0, math.inf])
