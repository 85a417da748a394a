"""Fixtures shared by the store's tests: a store on a real disk, and one-line builders of versions."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import clc
from clc.store import Kind, Recipe, Store, Version

SCHEMA = pa.schema([("index", pa.int32()), ("key", pa.list_(pa.float32(), 4))])
PUBLISHER = Path(__file__).with_name("publisher.py")

Make = Callable[..., Version]
Publisher = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def make(store: Store) -> Make:
    """Publish a dictionary of a few entries; what is not said stays the same from call to call."""

    def make(seed: int = 0, *, inputs: dict[str, str] | None = None, into: Store = store) -> Version:
        recipe = Recipe(stage="index", stage_version=1, config={"seed": seed}, inputs=inputs or {})
        keys = np.random.default_rng(seed).standard_normal((64, 4), dtype=np.float32)
        with into.draft(Kind.DICTIONARY, recipe) as draft:
            draft.attributes["entries"] = len(keys)
            with draft.table("entries", SCHEMA) as table:
                index = pa.array(range(len(keys)), pa.int32())
                vectors = pa.FixedSizeListArray.from_arrays(keys.reshape(-1), 4)
                table.write(pa.table([index, vectors], schema=SCHEMA))
            draft.tensors("basis", {"mean": keys.mean(axis=0), "basis": keys})
            return draft.publish()

    return make


@pytest.fixture
def publisher(store: Store) -> Iterator[Publisher]:
    """Start `publisher.py` as a process of its own; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(command: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(PUBLISHER), command, store.url, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(clc.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()
