"""A killed publisher never leaves anything that reads as a version but is not one."""

import random
import time

import pytest

from clc.store import Kind, Store, verify_store

ROUNDS = 8


@pytest.mark.parametrize("round", range(ROUNDS))
def test_kill_at_a_random_moment(store: Store, publisher, round: int) -> None:
    process = publisher("endless", 1000 * round)
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(round).uniform(0.0, 0.15))
    process.kill()
    process.wait()
    assert verify_store(store) == []
    for version in store.versions(Kind.MODEL):
        assert version.tensors("weights")["weights"].shape == (50_000,)
        assert store.find(version.manifest.recipe) in (version, None)


@pytest.mark.medium
def test_kill_before_every_single_file_operation(store: Store, publisher) -> None:
    process = publisher("dying")
    output, _ = process.communicate()
    assert process.returncode == 0
    deaths = [tuple(map(int, line.split())) for line in output.splitlines()]
    assert len(deaths) > 10
    assert all(problems == 0 for _, _, problems in deaths)
    visible = [versions for _, versions, _ in deaths]
    assert visible == sorted(visible), "once visible, always visible"
    assert visible[0] == 0
    assert visible[-1] == 1
    # Each process took over from the debris of all before it; the last one finished the work.
    (version,) = store.versions(Kind.MODEL)
    assert store.find(version.manifest.recipe) == version
