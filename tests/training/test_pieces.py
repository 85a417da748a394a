"""Checkpoints and averages in files that can be carried."""

from pathlib import Path

import pytest
import torch

from clc.errors import TrainingError
from clc.images.provenance import read_identities
from clc.training.pieces import index_of, read_pieces, remove_pieces, write_pieces
from clc.training.start import AVERAGE, CarriedWeights, read_average
from clc.training.train import train
from tests.conftest import World
from tests.training.test_job import job
from tests.training.test_training import CONFIG, KilledError, before_batches, losses, new_trainer

LIMIT = 200_000


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 95])
def test_pieces_give_back_what_was_written_and_none_is_larger_than_asked(tmp_path: Path, length: int) -> None:
    data = bytes(range(length))
    write_pieces(tmp_path / "x", data, 10)
    assert read_pieces(tmp_path / "x") == data
    pieces = [path for path in tmp_path.iterdir() if path != index_of(tmp_path / "x")]
    assert len(pieces) == max(1, -(-length // 10))
    assert all(path.stat().st_size <= 10 for path in pieces)


def test_what_was_there_before_goes_when_the_new_is_there(tmp_path: Path) -> None:
    write_pieces(tmp_path / "x", b"a" * 95, 10)
    write_pieces(tmp_path / "x", b"b" * 15, 10)
    assert read_pieces(tmp_path / "x") == b"b" * 15
    assert len(list(tmp_path.iterdir())) == 3
    remove_pieces(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pieces(tmp_path / "x", b"a" * 25, 10)
    before = sorted(tmp_path.iterdir())

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_pieces(tmp_path / "x", b"b" * 25, 10)
    assert read_pieces(tmp_path / "x") == b"a" * 25
    assert [path for path in sorted(tmp_path.iterdir()) if path.suffix != ".partial"] == before


def test_a_missing_and_a_damaged_piece_are_told_of(tmp_path: Path) -> None:
    write_pieces(tmp_path / "x", b"a" * 25, 10)
    first = next(path for path in tmp_path.iterdir() if path.name.endswith(".000"))
    first.write_bytes(b"b" * 10)
    with pytest.raises(TrainingError, match="not as they were written"):
        read_pieces(tmp_path / "x")
    first.unlink()
    with pytest.raises(TrainingError, match="copy all of them"):
        read_pieces(tmp_path / "x")


@pytest.mark.medium
def test_a_run_in_pieces_resumes_to_the_same_losses_and_leaves_no_large_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = losses(new_trainer(world, tmp_path / "undisturbed").train())
    killed = new_trainer(world, tmp_path / "killed")
    killed.piece_bytes = LIMIT

    def die(step: int, index: int) -> None:
        if step == 5:
            raise KilledError

    before_batches(monkeypatch, die)
    with pytest.raises(KilledError):
        killed.train()
    monkeypatch.undo()
    assert not killed.checkpoint.exists()
    carried = [path for path in killed.folder.iterdir() if path.suffix not in (".png", ".parquet")]
    assert len(carried) > 10
    assert max(path.stat().st_size for path in carried) <= LIMIT
    resumed = new_trainer(world, tmp_path / "killed")
    resumed.piece_bytes = LIMIT
    assert losses(resumed.train()) == expected


@pytest.mark.medium
def test_training_starts_from_an_average_that_was_carried(world: World, tmp_path: Path) -> None:
    run = new_trainer(world, tmp_path / "run", CONFIG.model_copy(update={"steps": 2}))
    run.piece_bytes = LIMIT
    run.learned_from = read_identities(world.model.table("photos"), "before")
    run.train()  # its model is the moving average then
    carried = read_average(run.folder / AVERAGE)
    assert isinstance(carried, CarriedWeights)
    for name, tensor in run.model.state_dict().items():
        assert torch.allclose(carried.state[name], tensor.float(), rtol=1e-3, atol=1e-6), name
    still = CONFIG.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    started = train(job(world, config=still, start=carried), store=world.store, runs=tmp_path / "runs").version
    assert started.manifest.recipe.inputs["start"] == f"weights/{carried.sha256}"
    assert started.attributes["start"] == carried.sha256
    named = set(started.table("photos")["photo_sha256"].to_pylist())
    assert {photo.photo_sha256 for photo in carried.photos} <= named
    weights = started.tensors("weights")
    assert torch.allclose(torch.from_numpy(weights["gain.log_gain"]), run.model.gain.log_gain, atol=1e-3)


def test_something_else_is_no_average(tmp_path: Path) -> None:
    write_pieces(tmp_path / AVERAGE, b"something else", 10)
    with pytest.raises(TrainingError, match="no moving average"):
        read_average(tmp_path / AVERAGE)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_average(tmp_path / "not-there.safetensors")
