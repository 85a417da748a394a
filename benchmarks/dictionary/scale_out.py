"""Stage `features` on one thread and on two, with one Dask worker and with two: seconds, ids, and what shards cost.

ResNet-50 of random weights (`random:0`), a store for each way. Starting the cluster, importing CLC and opening the
backbone, and stopping the cluster, which take as long for ten patches as for a million, are shown apart. The overhead
of N workers, of one thread each, is what they take more than this process takes on N threads for the same patches:
making, verifying and joining parts, and Dask. Twice the seconds of two workers against one thread would count also what
two threads of one process lose to each other, which share caches and memory on any machine.
"""

import argparse
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.printing import print_machine, print_table
from clc.dictionary.stages.features import FeatureConfig, extract
from clc.dictionary.stages.patches import CropConfig, crop
from clc.images import open_source
from clc.stages.shards import Done, Extent, Shard
from clc.stages.workers import DaskWorkers
from clc.store import Store

_WORKERS = (1, 2)
_OVERHEAD = 0.05
_SPEED = 1.0


class _Timed:
    """Dask workers that note how long they took to start and to stop, and how many shards there were."""

    def __init__(self, count: int) -> None:
        self.shards = 0
        self.starting_and_stopping = 0.0
        self._workers = DaskWorkers(count)

    def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Generator[Done, None, None]:
        start = time.monotonic()
        for done in self._workers.compute(make, extent):
            if self.shards == 0:
                self.starting_and_stopping = time.monotonic() - start - done.seconds
            self.shards += 1
            yield done
            start = time.monotonic()
        self.starting_and_stopping += time.monotonic() - start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--per-photo", type=int, default=52, help="patches of each of the ten bundled photos")


def run(arguments: argparse.Namespace) -> None:
    """Measure every way once. Ends the program with 1 if ids differ or a target is missed."""
    print_machine()
    config = FeatureConfig(backbone="random:0")
    rows: list[list[object]] = []
    ids: set[str] = set()
    alone: dict[int, float] = {}
    spread: dict[int, float] = {}
    with TemporaryDirectory() as folder:
        photos = Store(Path(folder, "photos"))
        patches = crop(open_source("bundled"), config=CropConfig(per_photo=arguments.per_photo), store=photos).version
        for threads in _WORKERS:
            torch.set_num_threads(threads)
            result = extract(patches, config=config, store=Store(Path(folder, f"alone-{threads}")))
            alone[threads] = result.seconds
            ids.add(result.version.id)
            rows.append([f"none, threads: {threads}", 1, "", alone[threads], "", result.version.short_id])
        for count in _WORKERS:
            workers = _Timed(count)
            result = extract(patches, config=config, store=Store(Path(folder, f"{count}")), workers=workers)
            spread[count] = result.seconds - workers.starting_and_stopping
            ids.add(result.version.id)
            overhead = f"{spread[count] / alone[count] - 1:.1%}"
            rows.append(
                [count, workers.shards, workers.starting_and_stopping, spread[count], overhead, result.version.short_id]
            )
    print(f"{patches.rows('patches')} patches of 256x256\n")
    print_table(["workers", "shards", "start and stop s", "seconds", "overhead", "id"], rows)
    if len(ids) > 1:
        sys.exit("missed: the ids differ")
    missed = []
    if (overhead_of_one := spread[1] / alone[1] - 1) >= _OVERHEAD:
        missed.append(f"shards cost {overhead_of_one:.1%} besides their work, the limit is {_OVERHEAD:.0%}")
    if (speed := spread[1] / spread[2]) < _SPEED:
        missed.append(f"two workers are {speed:.2f} times as fast as one, the target is {_SPEED}")
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")
