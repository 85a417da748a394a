"""PCA over features as long as the paper's, 2048 x 21 = 43008 values: peak memory must not grow with the patches.

The features are synthetic, of 256 dimensions plus noise; making them is not timed. Each size runs in a process of its
own. 30,000 features are 5 GB, which are on the disk twice while they are published.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.dictionary.stages import Measured, measure
from benchmarks.dictionary.synthetic import publish_features, require_space
from benchmarks.printing import print_machine, print_table
from clc.store import Store

_FEATURE_DIMENSION = 43_008
_KEY_DIMENSION = 256
_GROWTH_LIMIT = 1.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--rows", type=int, nargs="+", default=[3000, 30_000], help="sizes, ascending")


def run(arguments: argparse.Namespace) -> None:
    """Measure every size. Ends the program with 1 if the last takes more memory than the first."""
    print_machine()
    measured = {rows: _measure(rows) for rows in arguments.rows}
    first, *_, last = measured.values()
    print_table(
        ["patches", "reduce s", "patches/s", "peak GB", "against the first"],
        [[f"{rows:,}", m.total, rows / m.total, m.peak / 1e9, m.peak / first.peak] for rows, m in measured.items()],
    )
    if last.peak > _GROWTH_LIMIT * first.peak:
        sys.exit(f"missed: {last.peak / first.peak:.2f} times the memory, the limit is {_GROWTH_LIMIT}")


def _measure(rows: int) -> Measured:
    with TemporaryDirectory() as folder:
        require_space(folder, int(2.2 * rows * _FEATURE_DIMENSION * 4))
        store = Store(Path(folder, "store"))
        publish_features(store, rows, _FEATURE_DIMENSION)
        return measure(store, dim=_KEY_DIMENSION, entries=None)
