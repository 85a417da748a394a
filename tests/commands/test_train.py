"""`clc train` from the command line, in a process of its own: trains, stops on a signal, continues, refuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clc
from clc.images import read_image
from clc.store import Kind, Store
from clc.store.shipped import ship
from tests.conftest import World
from tests.processes import NETWORK

PROFILE = f"""
name = "short"
[model]
preset = "tiny"
{NETWORK}
[training]
steps = 3
batch = 1
crop = 64
held_out = 0
log_every = 1
refresh_every = 50
unconditioned_share = 0.5
"""


@pytest.fixture
def profile(tmp_path: Path) -> str:
    (tmp_path / "short.toml").write_text(PROFILE)
    return str(tmp_path / "short.toml")


def command(world: World, folder: Path, *options: str) -> list[str]:
    common = ["--store", world.store.url, "--data", f"folder:{world.photos}", "--runs", str(folder / "runs")]
    return [sys.executable, "-m", "clc", "train", *common, "--alias", folder.name[:40].replace("_", "-"), *options]


def run(world: World, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(world, folder, *options), check=False, capture_output=True, text=True, env=environment, cwd=folder
    )


@pytest.mark.slow
def test_a_trained_model_is_ready_to_code_with_and_to_be_shipped(world: World, tmp_path: Path, profile: str) -> None:
    result = run(world, tmp_path, "--profile", profile)
    assert result.returncode == 0, result.stderr
    assert "step=3" in result.stderr
    name = result.stdout.split(";")[0]
    codec = clc.load(name, store=world.store)
    photo = read_image(world.test_photos / "photo-100.png")[:104, :280]
    data = codec.compress(photo)
    shipped = Store(tmp_path / "shipped")
    ship(world.store.get(Kind.MODEL, name), "default", world.store, shipped)
    elsewhere = clc.load(store=shipped)  # no training, no pictures: what a product contains
    assert elsewhere.compress(photo) == data
    assert elsewhere.decompress(data).size == photo.shape[1::-1]
    pictures = elsewhere.store.versions(Kind.DICTIONARY)[0].table("entries")["image"]
    assert pictures.null_count == len(pictures)


@pytest.mark.slow
def test_a_run_that_a_signal_stopped_is_continued_by_the_same_command(
    world: World, tmp_path: Path, profile: str
) -> None:
    options = ("--profile", profile, "--conditioning", "none", "--steps", "2000")
    process = subprocess.Popen(
        command(world, tmp_path, *options),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert process.stderr is not None
    seen = ""
    deadline = time.monotonic() + 120
    while "step=2 " not in seen and time.monotonic() < deadline:
        seen += process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "checkpoint written; the same command continues it" in rest
    assert "Traceback" not in rest
    again = subprocess.Popen(
        command(world, tmp_path, *options, "--resume"),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert again.stderr is not None
    lines = [again.stderr.readline() for _ in range(3)]
    again.kill()
    again.communicate()
    assert any("resumed step=" in line for line in lines), lines
