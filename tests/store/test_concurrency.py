"""Many writers at once: all succeed, and every alias move has one winner."""

from pathlib import Path

import pytest

from clc.store import Kind, Store, verify_store

PROCESSES = 4


def finish_together(processes: list) -> list[list[str]]:
    """Let all processes start at one moment and return what each printed."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()
    outputs = [process.stdout.read().split() for process in processes]
    assert [process.wait() for process in processes] == [0] * len(processes)
    return outputs


@pytest.mark.medium
def test_publishers_of_the_same_and_of_different_content_all_succeed(store: Store, publisher) -> None:
    shared = list(range(12))
    outputs = finish_together([publisher("many", *shared, 100 + number) for number in range(PROCESSES)])
    assert all(ids[:12] == outputs[0][:12] for ids in outputs)
    assert len({ids[12] for ids in outputs}) == PROCESSES
    versions = store.versions(Kind.MODEL)
    assert {version.id for version in versions} == {id for ids in outputs for id in ids}
    assert verify_store(store) == []
    assert all(store.find(version.manifest.recipe) == version for version in versions)
    assert not list(Path(store.url).rglob(".tmp-*"))


@pytest.mark.medium
def test_every_alias_revision_has_exactly_one_winner(store: Store, publisher) -> None:
    setup = publisher("many", *range(2 * PROCESSES))
    (ids,) = finish_together([setup])
    movers = [publisher("move", "production", 5, *ids[2 * n : 2 * n + 2]) for n in range(PROCESSES)]
    won = sorted(int(revision) for output in finish_together(movers) for revision in output)
    assert won == list(range(1, 5 * PROCESSES + 1))
    history = store.aliases.history(Kind.MODEL, "production")
    assert [revision.revision for revision in history] == won
