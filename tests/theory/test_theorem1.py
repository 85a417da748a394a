"""The whole simulation: what it stores, what it makes of it, and that it says what does not fit the bound."""

from dataclasses import replace

import pytest

from clc.errors import ProfileError
from clc.store import Kind, Store
from clc.store.shipped import LayeredStore
from clc.theory.findings import Verdict, angle_findings, constant, distance_findings, unsupported
from clc.theory.sweeps import SIMULATION_BUDGETS, SimulationBudget, find_simulation_budget, sweeps, trials
from clc.theory.theorem1 import (
    angle_rows,
    distance_rows,
    is_simulation,
    simulated,
)
from clc.theory.theorem1_table import markdown
from pipelines.experiment_command import run_experiment
from tests.theory.made_up import made_up

BUDGET = SimulationBudget("test", trials=3, samples=3_000, largest=128, entries=128, queries=16)


@pytest.fixture(scope="module")
def dictionary():
    store = LayeredStore("memory://theorem1-dictionary")
    return store.get(Kind.DICTIONARY, store.get(Kind.MODEL, "default").attributes["dictionary"])


@pytest.fixture(scope="module")
def results(dictionary, tmp_path_factory):
    return simulated(BUDGET, dictionary, store=LayeredStore(tmp_path_factory.mktemp("theorem1")))


def test_every_point_of_every_sweep_has_its_trials_and_every_query_its_sizes(results):
    rows = angle_rows(results)

    assert is_simulation(results)
    assert len(rows) == BUDGET.trials * sum(len(sweep.models) for sweep in sweeps(BUDGET))
    assert all(0.0 < row.error <= row.cap for row in rows)
    assert len({(row.sweep, row.value, row.error) for row in rows}) == len(rows), "no two trials are alike"
    assert len({row.keys for row in distance_rows(results)}) == 3


@pytest.mark.medium
def test_the_same_budget_gives_the_same_version_and_another_seed_another(results, dictionary, tmp_path):
    store = LayeredStore(tmp_path)

    assert simulated(BUDGET, dictionary, store=store) == results
    other = replace(BUDGET, seed=1)
    errors = {row.error for row in trials(sweeps(other)[0], other)}
    assert errors.isdisjoint(row.error for row in angle_rows(results))


def test_the_exponents_are_those_that_the_first_order_says(results):
    found = {each.name: each for each in angle_findings(results)}

    assert found["n"].verdict is Verdict.AS
    assert found["n"].used < len(found["n"].points), "points near √r are left out"
    assert found["n"].bound == pytest.approx(0.5)
    assert found["d"].bound == pytest.approx(0.5)
    assert found["p, whole images"].first_order > 0.7 > 0.5 > found["p, fixed parts"].first_order
    for each in found.values():
        assert each.measured.low - 0.15 < each.first_order < each.measured.high + 0.15, each.name
    assert 0.0 < constant(list(found.values())) < 2.0


def test_the_table_says_all_that_is_found(results):
    text = markdown(results)

    assert "Budget test: 3 trials a point, n = 3,000" in text
    assert text.count("| 1/(1−p) |") == 3
    assert "The perturbation bound, simulated (theorem 1)" in text
    assert f"| dictionary {results.attributes['dictionary']} |" in text
    assert "K is not in theorem 1" in text
    assert "nan" not in text


def test_what_outgrows_the_bound_is_named_before_what_it_only_overestimates(tmp_path):
    results = made_up(Store(tmp_path), {"slow": 0.1, "same": 0.5, "fast": 0.9, "near": 0.46}, excess=1.5)
    angles, distances = angle_findings(results), distance_findings(results)

    assert [each.verdict for each in angles] == [Verdict.SLOWER, Verdict.AS, Verdict.FASTER, Verdict.AS]
    told = unsupported(angles, distances)
    assert "outgrows the bound" in told[0]
    assert "0.90 [0.90, 0.90], the bound's 0.50" in told[0]
    assert "not tight" in told[1]
    assert told[2].endswith("K is not in theorem 1.")
    assert "−0.200 [−0.200, −0.200]; what a perturbed search loses has exponent 1.50" in told[3]
    assert told[3].endswith("faster than log K.")
    assert len(told) == 4
    assert constant(angles) == pytest.approx(0.01 * 8**0.4)


def test_a_loss_within_the_logarithm_is_said_to_be(tmp_path):
    [found] = distance_findings(made_up(Store(tmp_path), {"same": 0.5}, excess=0.8))

    assert found.over_log.high < 1.0
    assert "no faster than log K" in unsupported([], [found])[-1]


def test_points_near_the_largest_angle_give_no_exponent(tmp_path):
    angles = angle_findings(made_up(Store(tmp_path), {"three below": 4.0, "two below": 5.0}))

    assert [each.used for each in angles] == [3, 2]
    assert [each.verdict for each in angles] == [Verdict.FASTER, Verdict.NONE]
    assert angles[1].measured is None
    assert "nothing is measured, too few points below half of √r" in unsupported(angles, [])[1]


@pytest.mark.parametrize("options", [{"anchor": "default"}, {"start": "default"}, {"device": "cuda"}])
def test_what_a_simulation_cannot_use_is_refused(options):
    with pytest.raises(ProfileError, match="theorem1 simulates the bound"):
        run_experiment("theorem1", **options)


def test_other_experiments_build_their_own_dictionaries():
    with pytest.raises(ProfileError, match="--dictionary is for theorem1"):
        run_experiment("table1", dictionary="latest")


def test_a_budget_that_does_not_exist_is_one_line():
    with pytest.raises(ProfileError, match="theorem1 has no budget 'paper'; use one of: smoke, short, small"):
        find_simulation_budget("paper")


@pytest.mark.medium
def test_the_command_prints_the_table_and_a_second_time_only_reads_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(SIMULATION_BUDGETS, "smoke", BUDGET)
    run_experiment("theorem1", store=str(tmp_path))
    first = capsys.readouterr().out

    version = Store(str(tmp_path)).get(Kind.RESULTS, "theorem1")
    assert first.endswith(f"{version}: `clc report {version.short_id}`\n")
    assert markdown(version) in first
    files = sorted(tmp_path.rglob("*.parquet"))
    run_experiment("theorem1", store=str(tmp_path))
    assert capsys.readouterr().out == first
    assert sorted(tmp_path.rglob("*.parquet")) == files
