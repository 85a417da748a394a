"""The same photos and the same profile, built with one thread and with two: is it the same dictionary?

Each build is `clc dictionary build` in a process and a store of its own; once with the profile's backbone and once
with a ResNet-50 of random weights, whose convolutions may sum in another order with another number of threads. Where
ids differ, no entry may have changed, and the columns that did are listed with what they differ by.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.printing import print_machine, print_table
from clc.dictionary.inspect.diff import DictionaryDiff, diff
from clc.store import Kind, Store, Version, ancestry

_THREADS = (1, 2)
_RESNET = "random:0"


@dataclass(frozen=True)
class Difference:
    """A column or tensor of two dictionaries whose bits differ; the largest difference is None if it has no floats."""

    name: str
    differing: int
    values: int
    largest: float | None
    largest_value: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--profile", default="demo", help="name of a profile, or path of a TOML file")
    parser.add_argument("--limit", type=int, help="use the first N photos only")


def run(arguments: argparse.Namespace) -> None:
    """Build twice with each backbone. Ends the program with 1 if an entry changed."""
    print_machine()
    stages: list[list[object]] = []
    changes: list[list[object]] = []
    columns: list[list[object]] = []
    changed = False
    for backbone in (None, _RESNET):
        name = backbone or "the profile's"
        with TemporaryDirectory() as folder:
            one, two = (_build(arguments, backbone, n, Path(folder, f"threads-{n}")) for n in _THREADS)
            stages += [[name, a.kind, a.short_id, b.short_id, _yes(a == b)] for a, b in _stages(one, two)]
            if one != two:
                difference = diff(one, two, probes=None)
                changes.append([name, *_entry_changes(difference)])
                changed |= any(_entry_changes(difference)[1:])
                columns += [_column_row(name, each) for each in _differences(one, two)]
    print_table(["backbone", "stage", *(f"{n} thread{'s' * (n > 1)}" for n in _THREADS), "same id"], stages)
    if changes:
        print("Dictionaries that differ:\n")
        print_table(["backbone", "entries", "added", "removed", "moved", "of another size"], changes)
        print_table(["backbone", "column", "values that differ", "of", "by at most", "largest value"], columns)
    if changed:
        sys.exit("missed: entries differ between 1 and 2 threads")


def _build(arguments: argparse.Namespace, backbone: str | None, threads: int, store: Path) -> Version:
    command = [
        sys.executable,
        "-m",
        "clc",
        "dictionary",
        "build",
        "--store",
        str(store),
        "--profile",
        arguments.profile,
    ]
    command += ["--limit", str(arguments.limit)] if arguments.limit else []
    command += ["--backbone", backbone] if backbone else []
    finished = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, stdout=subprocess.DEVNULL)
    if finished.returncode:
        sys.exit(f"`{' '.join(command[1:])}` ended with {finished.returncode}")
    return Store(store).get(Kind.DICTIONARY, "latest")


def _stages(one: Version, two: Version) -> Iterator[tuple[Version, Version]]:
    """The versions that led to the dictionaries, first stage first."""
    of_one, of_two = ({version.kind: version for version in ancestry(dictionary)} for dictionary in (one, two))
    return ((of_one[kind], of_two[kind]) for kind in Kind if kind in of_one)


def _entry_changes(difference: DictionaryDiff) -> tuple[int, int, int, int, int]:
    """How many entries there are, and how many were added, removed, moved and have another cluster size."""
    d = difference
    return d.entries_a, len(d.added), len(d.removed), len(d.moved), len(d.cluster_sizes)


def _differences(one: Version, two: Version) -> Iterator[Difference]:
    """Columns and tensors that count for the id, compared value by value where they have as many."""
    for name, entry in one.manifest.files.items():
        other = two.manifest.files[name]
        if entry.content() == other.content():
            continue
        if entry.type == "tensors":
            tensors, others = one.tensors(name), two.tensors(name)
            for key, tensor in tensors.items():
                yield from _compared(f"{name}: {key}", tensor, others[key])
        else:
            for column in entry.columns:
                if not column.derived:
                    yield from _compared(
                        f"{name}: {column.name}", _values(one, name, column.name), _values(two, name, column.name)
                    )


def _values(version: Version, table: str, column: str) -> NDArray[np.generic]:
    array = version.table(table, columns=[column])[column].combine_chunks()
    return (array.flatten() if pa.types.is_nested(array.type) else array).to_numpy(zero_copy_only=False)


def _compared(name: str, one: NDArray[np.generic], two: NDArray[np.generic]) -> Iterator[Difference]:
    if one.shape != two.shape:
        yield Difference(name, max(one.size, two.size), one.size, None, None)
        return
    differing = int((one != two).sum())
    if differing == 0:
        return
    if np.issubdtype(one.dtype, np.floating):
        largest = float(np.abs(one.astype(np.float64) - two.astype(np.float64)).max())
        yield Difference(name, differing, one.size, largest, float(np.abs(one).max()))
    else:
        yield Difference(name, differing, one.size, None, None)


def _column_row(backbone: str, each: Difference) -> list[object]:
    bounds = ("not a float", "") if each.largest is None else (f"{each.largest:.2e}", each.largest_value)
    return [backbone, each.name, each.differing, each.values, *bounds]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
