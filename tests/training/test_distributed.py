"""Several processes train as one would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clc.errors import TrainingError
from clc.store import Kind, Store
from clc.training.distributed import Processes
from clc.training.launch import TrainerConfig, run_trainer
from tests.conftest import World
from tests.processes import NETWORK

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
PROFILE = f"""
name = "two"
[model]
preset = "tiny"
conditioning = "prior"
{NETWORK}
[training]
steps = 6
batch = 1
devices = 2
crop = 64
log_every = 1
refresh_every = 2
held_out = 0
unconditioned_share = 0.3
learning_rate = 1e-3
"""


def command(world: World, folder: Path, *, processes: int, steps: str) -> list[str]:
    (folder / "two.toml").write_text(PROFILE)
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    arguments = ["--profile", str(folder / "two.toml"), "--steps", steps, "--data", f"folder:{world.photos}"]
    arguments += ["--runs", str(folder / "runs"), "--store", str(folder / "store")]
    arguments += ["--assignments", world.assignments.id, "--dictionary", world.dictionary.id]
    return [*launcher, "clc", "train", *arguments]


def run(world: World, folder: Path, *, processes: int) -> subprocess.CompletedProcess[str]:
    called = command(world, folder, processes=processes, steps="6")
    return subprocess.run(called, check=False, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder)


@pytest.fixture
def folders(world: World, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders, each with a copy of what training reads."""
    from clc.store import copy_version

    pair = tmp_path / "one", tmp_path / "two"
    for folder in pair:
        folder.mkdir()
        for version in (world.dictionary, world.assignments):
            copy_version(version, Store(folder / "store"))
    return pair


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_with_both_batches(world: World, folders: tuple[Path, Path]) -> None:
    logs = []
    for folder, processes in zip(folders, (1, 2), strict=True):
        result = run(world, folder, processes=processes)
        assert result.returncode == 0, result.stderr
        model = Store(folder / "store").get(Kind.MODEL, "latest")
        logs.append(model.table("log").to_pylist())
    assert len(logs[0]) == 6
    for one, two in zip(*logs, strict=True):
        for name in ("loss", "bpp", "psnr", "gradient_norm"):
            assert one[name] == pytest.approx(two[name], rel=1e-3), (one["step"], name)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_what_torchrun_started_does_not_outlive_it(world: World, folders: tuple[Path, Path]) -> None:
    called = command(world, folders[0], processes=2, steps="1000000")
    process = subprocess.Popen(called, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=folders[0])
    assert process.stderr is not None
    assert any("step=1 " in line for line in process.stderr)
    process.kill()
    process.wait()
    # It ends when all that may write into it are gone.
    assert "training stopped at step" in process.stderr.read()


@pytest.mark.slow
def test_several_processes_fail_with_the_word_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text('name = "wrong"\n[training]\nstepz = 6\n')
    arguments = ["--profile", str(tmp_path / "wrong.toml"), "--data", "bundled", "--store", str(tmp_path / "store")]
    lines: list[str] = []
    with pytest.raises(TrainingError, match=r"wrong\.toml.*stepz"):
        run_trainer(arguments, TrainerConfig(processes=2), on_line=lines.append)
    assert not lines[-1].startswith("clc: ")


def test_batches_that_cannot_be_spread_are_refused() -> None:
    with pytest.raises(TrainingError, match="cannot be spread over 3 processes; set devices to a multiple of 3"):
        Processes(rank=0, count=3).share(2)
