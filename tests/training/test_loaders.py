"""Batches drawn ahead by other processes: what these share, and what ends them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from clc.images import open_source
from clc.training.config import TrainingConfig
from clc.training.data.batches import TrainingBatches
from clc.training.data.crops import TrainingSet
from clc.training.data.decoded_photos import DecodedPhotos, decode_photos
from clc.training.data.windows import grid_windows
from tests.conftest import write_photos
from tests.training import drawing_process

CONFIG = TrainingConfig(steps=4, batch=2, crop=64)
forks: list[int] = []


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> DecodedPhotos:
    return decode_photos(open_source(f"folder:{write_photos(tmp_path_factory.mktemp('photos'), range(2))}"))


@pytest.mark.medium
def test_loaders_draw_what_this_process_would_and_are_no_forks_of_it(photos: DecodedPhotos) -> None:
    os.register_at_fork(before=lambda: forks.append(os.getpid()))
    batches = TrainingBatches(TrainingSet(photos, grid_windows(photos)), CONFIG)
    forks.clear()
    drawn = batches.upcoming(3, range(2), 2)
    for place in ((3, 0), (3, 1), (4, 0)):
        here, there = batches[place], next(drawn)
        assert torch.equal(here.pixels, there.pixels)
        assert (here.places, here.quality) == (there.places, there.quality)
    assert not forks


def paint(photos: DecodedPhotos) -> None:
    photos[1].pixels.fill_(7)


@pytest.mark.medium
def test_photos_that_another_process_gets_are_those_of_this_one(photos: DecodedPhotos) -> None:
    first = photos[0].pixels.clone()
    other = multiprocessing.get_context("forkserver").Process(target=paint, args=(photos,))
    other.start()
    other.join()
    assert other.exitcode == 0
    assert (photos[1].pixels == 7).all()
    assert torch.equal(photos[0].pixels, first)


@pytest.fixture
def drawing() -> Iterator[subprocess.Popen[str]]:
    """A process with two loaders, in a group of its own."""
    command = [sys.executable, "-m", drawing_process.__name__]
    root = Path(__file__).parents[2]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=root, text=True, process_group=0, **piped) as process:  # type: ignore[call-overload]
        yield process
        process.kill()


@pytest.mark.medium
def test_a_signal_to_the_group_leaves_the_loaders_and_they_end_with_what_they_draw_for(
    drawing: subprocess.Popen[str],
) -> None:
    assert drawing.stdout is not None
    loaders = [psutil.Process(int(number)) for number in drawing.stdout.readline().split()]
    assert len(set(loaders)) == 2
    for number in (signal.SIGINT, signal.SIGTERM):
        os.killpg(drawing.pid, number)
        assert drawing.stdout.readline() == f"stopped by {int(number)}\n"
    time.sleep(0.5)
    assert drawing.poll() is None
    assert all(loader.is_running() and loader.status() != psutil.STATUS_ZOMBIE for loader in loaders)
    drawing.kill()
    assert not psutil.wait_procs(loaders, timeout=10)[1]
