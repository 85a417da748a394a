"""Stages: the same recipe is done once."""

import itertools
import logging
import shutil

import numpy as np
import pytest

from clc.errors import CorruptArtifactError
from clc.store import Draft, Kind, Recipe, Store, run_stage

RECIPE = Recipe(stage="train", stage_version=1)


class Build:
    """A stage that counts its runs; each run may give other weights."""

    def __init__(self, *results: float) -> None:
        self.runs = 0
        self._results = itertools.cycle(results)

    def __call__(self, draft: Draft) -> None:
        self.runs += 1
        draft.tensors("weights", {"x": np.array([next(self._results)])})


def test_the_second_run_is_skipped(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clc.store")
    build = Build(1)
    first, second = (run_stage(store, Kind.MODEL, RECIPE, build) for _ in range(2))
    assert (first.skipped, second.skipped, build.runs) == (False, True, 1)
    assert first.version == second.version
    assert first.seconds >= 0
    assert caplog.messages[-1] == f"stage=train skipped version={first.version}"


def test_another_recipe_is_other_work(store: Store) -> None:
    build = Build(1)
    run_stage(store, Kind.MODEL, RECIPE, build)
    result = run_stage(store, Kind.MODEL, Recipe(stage="train", stage_version=2), build)
    assert (result.skipped, build.runs) == (False, 2)
    assert len(store.versions(Kind.MODEL)) == 1, "two recipes, one content, one version"


def test_force_says_that_a_rebuild_gave_the_same(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clc.store")
    build = Build(1)
    first = run_stage(store, Kind.MODEL, RECIPE, build)
    again = run_stage(store, Kind.MODEL, RECIPE, build, force=True)
    assert (again.skipped, build.runs) == (False, 2)
    assert again.version == first.version
    assert caplog.messages[-1] == f"stage=train rebuilt version={first.version} same=true"


def test_force_warns_of_a_rebuild_that_differs_and_the_first_stays(store: Store, caplog) -> None:
    build = Build(1, 2)
    first = run_stage(store, Kind.MODEL, RECIPE, build).version
    second = run_stage(store, Kind.MODEL, RECIPE, build, force=True).version
    assert second != first
    assert store.find(RECIPE) == first
    # Others belong to a flow that an earlier test ran in this process, and to its level of logging.
    warnings = [record for record in caplog.records if record.name == "clc.store" and record.levelname == "WARNING"]
    pointer, comparison = (record.message for record in warnings)
    assert first.ref in pointer
    assert second.ref in pointer
    assert comparison == f"stage=train rebuilt version={second} same=false previous={first}"


def test_a_removed_version_is_built_again_and_then_skipped(store: Store) -> None:
    build = Build(1, 2)
    shutil.rmtree(run_stage(store, Kind.MODEL, RECIPE, build).version.directory)
    rebuilt = run_stage(store, Kind.MODEL, RECIPE, build)
    assert not rebuilt.skipped
    assert run_stage(store, Kind.MODEL, RECIPE, build).version == rebuilt.version
    assert build.runs == 2


def test_a_failing_stage_publishes_nothing(store: Store) -> None:
    def build(draft: Draft) -> None:
        draft.tensors("weights", {"x": np.zeros(1)})
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run_stage(store, Kind.MODEL, RECIPE, build)
    assert store.versions(Kind.MODEL) == []


def test_a_damaged_result_is_reported_not_rebuilt_over(store: Store) -> None:
    version = run_stage(store, Kind.MODEL, RECIPE, Build(1)).version
    with open(f"{version.directory}/manifest.json", "a") as manifest:
        manifest.write("}")
    with pytest.raises(CorruptArtifactError, match="delete its directory and rebuild"):
        run_stage(store, Kind.MODEL, RECIPE, Build(1))
