"""Stages `crop` and `features` in one process and on Dask workers of one thread each: seconds, ids, what shards cost.

Each way has a store of its own. Starting the cluster and importing CLC in it, and stopping it, take as long for ten
patches as for a million; they are shown apart. What shards cost is what one worker takes more than this process takes
on one thread: making, verifying and joining parts, and Dask. In the last way, a worker is killed while it makes its
second shard or a later one; another worker makes that one again.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch

from benchmarks.data import training_photos
from benchmarks.printing import print_machine, print_table
from clc.dictionary.stages.features import FeatureConfig, extract
from clc.dictionary.stages.patches import CropConfig, crop
from clc.images import open_source
from clc.stages.shards import Done, Extent, Shard
from clc.stages.workers import DaskWorkers
from clc.store import Store

_OVERHEAD = 0.05
_SIZE = 640, 480
_WORKER_PROCESS = "spawn_main"  # in the command line of a process that Dask starts


class _Watched:
    """Dask workers that note how long they took to start and to stop, and how many shards there were.

    With `kill`, one of them is killed once a shard is done.
    """

    def __init__(self, count: int, *, kill: bool) -> None:
        self.shards = 0
        self.starting_and_stopping = 0.0
        self._workers = DaskWorkers(count)
        self._kill = kill

    def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Generator[Done, None, None]:
        start = time.monotonic()
        for done in self._workers.compute(make, extent):
            if self.shards == 0:
                self.starting_and_stopping = time.monotonic() - start - done.seconds
                if self._kill:
                    _kill_a_worker()
            self.shards += 1
            yield done
            start = time.monotonic()
        self.starting_and_stopping += time.monotonic() - start


def _kill_a_worker() -> None:
    for process in psutil.Process().children(recursive=True):
        if any(_WORKER_PROCESS in word for word in process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return
    sys.exit("no worker was there to be killed")


@dataclass(frozen=True)
class _Stage:
    """seconds: without starting and stopping workers."""

    id: str
    shards: int
    seconds: float
    starting_and_stopping: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--photos", type=int, help="of the packs in CLC_DATA, 640x480; default: the ten bundled ones")
    parser.add_argument("--per-photo", type=int, default=10, help="patches of each")
    parser.add_argument("--backbone", default="hog", help="hog, or random:0 for the time of a ResNet-50")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])


def run(arguments: argparse.Namespace) -> None:
    """Measure every way once. Ends the program with 1 if ids differ or shards cost too much."""
    print_machine()
    torch.set_num_threads(1)
    with TemporaryDirectory() as root:
        source = _source(Path(root, "photos"), arguments.photos)
        ways: list[tuple[int, bool]] = [(0, False), *((count, False) for count in arguments.workers)]
        if (most := max(arguments.workers)) > 1:
            ways.append((most, True))
        measured = {
            (count, kill): _measure(source, arguments, Store(Path(root, f"{count}-{kill}")), count, kill=kill)
            for count, kill in ways
        }
    _print(measured)
    if len({tuple(stage.id for stage in stages) for stages in measured.values()}) > 1:
        sys.exit("missed: the ids differ")
    if (one := (1, False)) in measured:
        overhead = _seconds(measured[one]) / _seconds(measured[0, False]) - 1
        if overhead >= _OVERHEAD:
            sys.exit(f"missed: shards cost {overhead:.1%} besides their work, the limit is {_OVERHEAD:.0%}")


def _source(folder: Path, photos: int | None) -> str:
    if photos is None:
        return "bundled"
    folder.mkdir()
    for number, photo in enumerate(islice(training_photos(_SIZE), photos)):
        photo.save(folder / f"{number:05}.jpg", quality=90)
    return f"folder:{folder}"


def _measure(source: str, arguments: argparse.Namespace, store: Store, count: int, *, kill: bool) -> list[_Stage]:
    stages = []
    workers = _Watched(count, kill=kill) if count else None
    patches = crop(open_source(source), config=CropConfig(per_photo=arguments.per_photo), store=store, workers=workers)
    stages.append(_stage(patches.version.id, patches.seconds, workers))
    workers = _Watched(count, kill=kill) if count else None
    features = extract(patches.version, config=FeatureConfig(backbone=arguments.backbone), store=store, workers=workers)
    stages.append(_stage(features.version.id, features.seconds, workers))
    return stages


def _stage(version: str, seconds: float, workers: _Watched | None) -> _Stage:
    if workers is None:
        return _Stage(version, 1, seconds, 0.0)
    return _Stage(version, workers.shards, seconds - workers.starting_and_stopping, workers.starting_and_stopping)


def _seconds(stages: list[_Stage]) -> float:
    return sum(stage.seconds for stage in stages)


def _print(measured: dict[tuple[int, bool], list[_Stage]]) -> None:
    alone = _seconds(measured[0, False])
    rows = []
    for (count, kill), stages in measured.items():
        crops, features = stages
        rows.append(
            [
                f"{count}, one killed" if kill else count or "none",
                f"{crops.shards}, {features.shards}",
                sum(stage.starting_and_stopping for stage in stages),
                crops.seconds,
                features.seconds,
                f"{alone / _seconds(stages):.2f}",
                features.id[:8],
            ]
        )
    print_table(["workers", "shards", "start and stop s", "crop s", "features s", "times as fast", "id"], rows)
