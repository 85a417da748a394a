"""Stage `features` without workers, with one Dask worker and with two: seconds, ids, and what shards cost besides.

ResNet-50 of random weights (`random:0`), one thread everywhere, a store for each way. Starting the cluster, importing
CLC and opening the backbone, which take as long for ten patches as for a million, are shown apart. The overhead is
what one worker takes more than none for the same patches: making, verifying and joining parts, and Dask.
"""

import argparse
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.report import print_machine, print_table
from clc.dictionary.features import FeatureConfig, extract
from clc.dictionary.patches import CropConfig, crop
from clc.dictionary.shards import Done, Extent, Shard
from clc.dictionary.workers import DaskWorkers
from clc.images import open_source
from clc.store import Store

_WORKERS = (1, 2)
_OVERHEAD = 0.05
_SPEED = 1.0


class _Timed:
    """Dask workers that note when their first shard began, and how many shards there were."""

    def __init__(self, count: int) -> None:
        self.shards = 0
        self.starting = 0.0
        self._workers = DaskWorkers(count)

    def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Generator[Done, None, None]:
        start = time.monotonic()
        for done in self._workers.compute(make, extent):
            if self.shards == 0:
                self.starting = time.monotonic() - start - done.seconds
            self.shards += 1
            yield done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--per-photo", type=int, default=52, help="patches of each of the ten bundled photos")


def run(arguments: argparse.Namespace) -> None:
    """Measure every way once. Ends the program with 1 if ids differ or a target is missed."""
    print_machine()
    torch.set_num_threads(1)
    config = FeatureConfig(backbone="random:0")
    with TemporaryDirectory() as folder:
        photos = Store(Path(folder, "photos"))
        patches = crop(open_source("bundled"), config=CropConfig(per_photo=arguments.per_photo), store=photos).version
        alone = extract(patches, config=config, store=Store(Path(folder, "alone")))
        rows: list[list[object]] = [["none", 1, "", alone.seconds, "", alone.version.short_id]]
        ids, seconds = {alone.version.id}, {}
        for count in _WORKERS:
            workers = _Timed(count)
            result = extract(patches, config=config, store=Store(Path(folder, f"{count}")), workers=workers)
            seconds[count] = result.seconds - workers.starting
            overhead = count * seconds[count] / alone.seconds - 1
            ids.add(result.version.id)
            rows.append([count, workers.shards, workers.starting, seconds[count], overhead, result.version.short_id])
    print(f"{patches.rows('patches')} patches of 256x256, one thread a worker; overhead in core seconds against none\n")
    print_table(["workers", "shards", "starting s", "seconds", "overhead", "id"], rows)
    if len(ids) > 1:
        sys.exit("missed: the ids differ")
    missed = []
    if (overhead := seconds[1] / alone.seconds - 1) >= _OVERHEAD:
        missed.append(f"shards cost {overhead:.1%} besides their work, the limit is {_OVERHEAD:.0%}")
    if (speed := seconds[1] / seconds[2]) < _SPEED:
        missed.append(f"two workers are {speed:.2f} times as fast as one, the target is {_SPEED}")
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")
