"""Reduce, cluster and index at scale: 256-d vectors → 256-d keys → 3000 entries; seconds a stage and peak memory.

The vectors are synthetic, and so are their patches: every one the same grey square of 16x16 pixels, since `index` only
copies what it chose. Making them is not timed. Each size runs in a process of its own.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dictionary.stages import Measured, measure
from benchmarks.dictionary.synthetic import POINT_DIMENSION, publish_features, publish_patches, require_space
from benchmarks.printing import print_machine, print_table
from clc.store import Store

_ENTRIES = 3000
_MEMORY_LIMIT = 4e9
_SECONDS_LIMIT = 15 * 60  # for each million of rows
_GROWTH_LIMIT = 1.1  # of time for each row, from one size to the next
_COPIES = 5  # of the features: they and the keys are staged and stored, and the rest takes less than one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes, ascending")


def run(arguments: argparse.Namespace) -> None:
    """Measure every size. Ends the program with 1 if one takes too much."""
    print_machine()
    measured = {rows: _measure(rows) for rows in arguments.rows}
    print_table(
        ["vectors", "reduce s", "cluster s", "index s", "total s", "peak GB"],
        [
            [f"{rows:,}", *(m.seconds[stage] for stage in ("reduce", "cluster", "index")), m.total, m.peak / 1e9]
            for rows, m in measured.items()
        ],
    )
    if missed := _missed(measured):
        sys.exit(f"missed: {'; '.join(missed)}")


def _measure(rows: int) -> Measured:
    with TemporaryDirectory() as folder:
        require_space(folder, _COPIES * rows * POINT_DIMENSION * 4)
        store = Store(Path(folder, "store"))
        publish_features(store, rows, POINT_DIMENSION)
        publish_patches(store, rows)
        return measure(store, dim=POINT_DIMENSION, entries=_ENTRIES)


def _missed(measured: dict[int, Measured]) -> list[str]:
    missed = []
    for rows, m in measured.items():
        if m.peak >= _MEMORY_LIMIT:
            missed.append(f"{rows:,} vectors take {m.peak / 1e9:.2f} GB, the limit is {_MEMORY_LIMIT / 1e9:g}")
        if m.total >= _SECONDS_LIMIT * max(1, rows / 1e6):
            missed.append(f"{rows:,} vectors take {m.total:,.0f} s, the limit is {_SECONDS_LIMIT} for a million")
    for small, large in pairwise(measured):
        growth, slower = large / small, measured[large].total / measured[small].total
        if slower > _GROWTH_LIMIT * growth:
            missed.append(f"{growth:g} times the vectors take {slower:.1f} times as long")
    return missed
