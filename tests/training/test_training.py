"""Training can be interrupted, repeated and refused."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from clc.errors import ProfileError, TrainingError, TrainingStoppedError
from clc.images import open_source
from clc.model.config import ModelConfig
from clc.model.network import CompressionModel
from clc.runtime.profile_file import validated
from clc.training.checkpoint import Modules, Progress, load_checkpoint, save_checkpoint
from clc.training.config import Part, Precision, TrainingConfig
from clc.training.data.batches import TrainingBatch, TrainingBatches
from clc.training.data.crops import TrainingSet
from clc.training.data.decoded_photos import decode_photos
from clc.training.data.reference_pool import ReferencePool
from clc.training.data.windows import assigned_windows
from clc.training.loop import Trainer
from clc.training.validation import Validation, held_out
from tests.conftest import World
from tests.miniature import MINIATURE

CONFIG = TrainingConfig(
    steps=8,
    batch=2,
    crop=64,
    refresh_every=3,
    checkpoint_every=2,
    log_every=2,
    learning_rate=1e-3,
    unconditioned_share=0.0,
)
INTERRUPTED = CONFIG.model_copy(update={"log_every": 3})  # checkpoints are in the middle of its rows
CPU = torch.device("cpu")


@pytest.fixture
def trainer(world: World, tmp_path: Path) -> Trainer:
    return new_trainer(world, tmp_path / "run")


def new_trainer(
    world: World, folder: Path, config: TrainingConfig = CONFIG, network: ModelConfig = MINIATURE
) -> Trainer:
    torch.manual_seed(0)
    photos = decode_photos(open_source(f"folder:{world.photos}"))
    model = CompressionModel(network)
    model.use_channels_last()
    return Trainer(
        model=model,
        data=TrainingSet(photos, assigned_windows(photos, world.assignments)),
        pool=ReferencePool(world.dictionary, CPU),
        validation=Validation(photos[:1]),
        config=config,
        folder=folder,
        run="test",
    )


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[CompressionModel, Progress]:
    """What `INTERRUPTED` comes to, if it is not."""
    trainer = new_trainer(world, tmp_path_factory.mktemp("undisturbed"), INTERRUPTED)
    progress = trainer.train()
    return trainer.model, progress


def losses(progress: Progress) -> list[float]:
    return [row["loss"] for row in progress.log]


class KilledError(Exception):
    """Stands for the end of the process."""


def before_batches(monkeypatch: pytest.MonkeyPatch, act: Callable[[int, int], None]) -> None:
    """Let something happen before each batch is drawn, which is told step and index."""
    draw = TrainingBatches.__getitem__

    def acting(self: TrainingBatches, which: tuple[int, int]) -> TrainingBatch:
        act(*which)
        return draw(self, which)

    monkeypatch.setattr(TrainingBatches, "__getitem__", acting)


@pytest.mark.medium
@pytest.mark.parametrize("last_step", [3, 6])
def test_a_killed_run_resumes_to_the_same_losses(
    world: World,
    tmp_path: Path,
    last_step: int,
    undisturbed: tuple[CompressionModel, Progress],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, expected = undisturbed
    killed = new_trainer(world, tmp_path, INTERRUPTED)

    def die(step: int, index: int) -> None:
        if step == last_step:
            raise KilledError

    before_batches(monkeypatch, die)
    with pytest.raises(KilledError):
        killed.train()
    monkeypatch.undo()
    resumed = new_trainer(world, tmp_path, INTERRUPTED)
    torch.nn.init.zeros_(resumed.model.g_s.layers[0].weight)  # whatever was there is replaced
    assert losses(resumed.train()) == losses(expected)
    for one, other in zip(model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.medium
def test_a_slow_run_is_checkpointed_by_the_clock(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.model_copy(update={"steps": 3, "checkpoint_every": 1000})
    steps: list[int] = []
    monkeypatch.setattr(
        "clc.training.loop.save_checkpoint", lambda path, run, modules, progress, pieces: steps.append(progress.step)
    )
    new_trainer(world, tmp_path, config).train()
    assert steps == [3]
    monkeypatch.setattr("clc.training.loop.CHECKPOINT_SECONDS", 0.0)
    new_trainer(world, tmp_path, config).train()
    assert steps == [3, 1, 2, 3]


@pytest.mark.medium
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_a_checkpoint_of_that_very_step(
    world: World,
    tmp_path: Path,
    number: signal.Signals,
    undisturbed: tuple[CompressionModel, Progress],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped = new_trainer(world, tmp_path, INTERRUPTED)

    def interrupt(step: int, index: int) -> None:
        if step == 4:  # not a step that is due for a checkpoint once it is done
            os.kill(os.getpid(), number)

    before_batches(monkeypatch, interrupt)
    with pytest.raises(TrainingStoppedError, match="stopped at step 5, checkpoint written") as raised:
        stopped.train()
    assert raised.value.signal == number
    monkeypatch.undo()
    assert losses(new_trainer(world, tmp_path, INTERRUPTED).train()) == losses(undisturbed[1])


@pytest.mark.medium
def test_the_loss_falls(world: World, tmp_path: Path) -> None:
    still = {"qualities": (50.0, 50.0), "related_share": 0.0, "pattern_share": 0.0}
    config = CONFIG.model_copy(update={"steps": 30, "warm_up": 2, "log_every": 5, "learning_rate": 3e-3} | still)
    fallen = losses(new_trainer(world, tmp_path, config).train())
    assert np.mean(fallen[-2:]) < 0.95 * np.mean(fallen[:2])


@pytest.mark.medium
def test_crops_drawn_by_other_processes_are_the_same(world: World, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"devices": 2, "steps": 4, "log_every": 1, "unconditioned_share": 0.5})
    alone = new_trainer(world, tmp_path / "alone", config).train()
    helped = new_trainer(world, tmp_path / "helped", config)
    helped.loaders = 2
    assert losses(helped.train()) == losses(alone)


@pytest.mark.medium
def test_a_budget_in_minutes_ends(world: World, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": None, "minutes": 0.02})
    progress = new_trainer(world, tmp_path, config).train()
    assert progress.step >= 1
    assert 1.2 <= progress.seconds < 30


@pytest.mark.medium
def test_an_epoch_is_one_crop_for_every_window(world: World, tmp_path: Path) -> None:
    trainer = new_trainer(world, tmp_path, CONFIG.model_copy(update={"steps": None, "epochs": 0.5}))
    assert trainer.train().step == round(0.5 * len(trainer.data) / CONFIG.batch)


@pytest.mark.parametrize("budget", [{}, {"steps": 2, "minutes": 1.0}])
def test_there_is_exactly_one_budget(budget: dict[str, float]) -> None:
    with pytest.raises(ProfileError, match="exactly one budget"):
        validated(TrainingConfig, dict(budget), "training")


def test_two_devices_in_one_process_are_the_mean_of_their_batches(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = new_trainer(world, tmp_path / "both", CONFIG.model_copy(update={"devices": 2, "steps": 1, "log_every": 1}))
    drawn = []
    before_batches(monkeypatch, lambda step, index: drawn.append((step, index)))
    both.train()
    assert drawn == [(0, 0), (0, 1)]


def test_a_checkpoint_of_another_run_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    modules = Modules(trainer.model, torch.optim.Adam(trainer.model.parameters()), None, None)
    path = tmp_path / "c.safetensors"
    progress = Progress(4, 1.5, [{"loss": 1.0}], [], [])
    save_checkpoint(path, "one", modules, progress)
    with pytest.raises(TrainingError, match="another configuration"):
        load_checkpoint(path, "two", modules)
    assert load_checkpoint(path, "one", modules) == progress


def test_a_damaged_checkpoint_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"half a checkpoint")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(path, "one", Modules(trainer.model, torch.optim.Adam(trainer.model.parameters()), None, None))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(trainer: Trainer, tmp_path: Path) -> None:
    modules = Modules(trainer.model, torch.optim.Adam(trainer.model.parameters()), None, None)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, "one", modules, Progress(4))
    before = path.read_bytes()
    path.with_suffix(".partial").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"step 5 cannot be written .*No space left.*the one before it is whole"):
        save_checkpoint(path, "one", modules, Progress(5))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_without_returns_divergence_stops_the_run_and_writes_down_the_crops(trainer: Trainer) -> None:
    trainer.config = CONFIG.model_copy(update={"returns": 0})
    with torch.no_grad():
        trainer.model.g_s.layers[0].weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"loss is not finite at step 0; .*diverged-0.json"):
        trainer.train()
    written = json.loads((trainer.folder / "diverged-0.json").read_text())
    assert [crop["image_id"] for crop in written["crops"]] == [
        trainer.data.photos[place.photo].image_id for place in trainer.batches.draw(0, 0, 0.0).places
    ]


@pytest.mark.medium
def test_a_run_leaves_a_log_and_sheets_of_held_out_photos(world: World, tmp_path: Path) -> None:
    new_trainer(world, tmp_path, CONFIG.model_copy(update={"validate_every": 4})).train()
    log = pq.read_table(tmp_path / "log.parquet")
    assert log["step"].to_pylist() == [2.0, 4.0, 6.0, 8.0]
    assert {"loss", "bpp", "psnr", "crops_per_second"} < set(log.column_names)
    assert len(pq.read_table(tmp_path / "validation.parquet")) > 0
    with Image.open(tmp_path / "sheet-0000008.png") as sheet:
        assert sheet.size == (5 * 256, 256)  # the original and four qualities


def test_held_out_photos_are_the_same_in_any_order(world: World) -> None:
    photos = decode_photos(open_source(f"folder:{world.photos}"))
    chosen = held_out(photos, 1)
    assert chosen.sum() == 1
    assert np.array_equal(held_out(photos[::-1], 1), chosen[::-1])


@pytest.mark.medium
def test_the_published_model_is_the_moving_average(
    world: World, tmp_path: Path, undisturbed: tuple[CompressionModel, Progress]
) -> None:
    plain = new_trainer(world, tmp_path, INTERRUPTED.model_copy(update={"average": 0.0}))
    plain.train()
    assert not torch.equal(undisturbed[0].g_s.layers[0].weight, plain.model.g_s.layers[0].weight)


@pytest.mark.medium
def test_what_only_codes_with_references_can_learn_alone(trainer: Trainer) -> None:
    trainer.config = CONFIG.model_copy(update={"part": Part.CONDITIONED, "unconditioned_share": 0.0})
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    changed = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    assert changed == {names[id(parameter)] for parameter in trainer.model.prior.conditioned.parameters()}


def test_what_only_codes_with_references_learns_with_them() -> None:
    with pytest.raises(ProfileError, match="unconditioned_share to 0"):
        validated(TrainingConfig, {"steps": 1, "part": "conditioned", "unconditioned_share": 0.5}, "profile x")


@pytest.mark.medium
def test_a_run_can_be_watched_in_tensorboard(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = CONFIG.model_copy(update={"steps": 4, "log_every": 2, "validate_every": 4})
    trainer = new_trainer(world, tmp_path, config)
    trainer.tensorboard = True
    progress = trainer.train()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [event.value for event in events.Scalars("training/loss")]
    assert shown == pytest.approx(losses(progress))
    assert any(tag.startswith("held-out/psnr") for tag in events.Tags()["scalars"])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(TrainingError, match="TensorBoard is not installed"):
        trainer.train()


@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_without_bfloat16_is_told_of(
    native: bool, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    trainer.config = trainer.config.model_copy(update={"precision": Precision.BFLOAT16, "steps": 1})
    with caplog.at_level("WARNING", logger="clc"):
        trainer.train()
    assert ("precision=bfloat16" in caplog.text) == (not native)
