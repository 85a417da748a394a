"""The variants of an experiment, each a whole job, as one Prefect flow that can be run again to go on."""

import logging
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from clc.experiments.budget import Budget
from clc.experiments.catalogue import Variant, find_experiment
from clc.experiments.comparison import combined, markdown
from clc.experiments.photos import DataSet, collections, general
from clc.experiments.variant import measured, variant_profile
from clc.store import Kind, Store

logger = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="{variant.name}, {data.name}, seed {seed}")
def measure_variant(variant: Variant, data: DataSet, budget: Budget, seed: int, store: str, runs: Path) -> str:
    """One variant on one data set → results; what the store has is skipped."""
    profile = variant_profile(variant, data, budget, seed)
    return measured(profile, store=Store(store), runs=runs).ref


@flow(name="experiment", flow_run_name="{name}, {budget.name}", validate_parameters=False)
def experiment(name: str, budget: Budget, store: str, runs: Path) -> list[str]:
    """Every variant on every data set → one results version a data set."""
    chosen = find_experiment(name)
    data_sets = [general(), *(collections() if chosen.collections else [])]
    opened = Store(store)
    versions = []
    for data in data_sets:
        measured_runs = {
            (variant.name, seed): opened.get(Kind.RESULTS, measure_variant(variant, data, budget, seed, store, runs))
            for variant in chosen.variants(budget)
            for seed in budget.seeds
        }
        version = combined(chosen, data, budget, measured_runs, store=opened)
        opened.aliases.set(Kind.RESULTS, f"{name}-{data.name}", version)
        print(f"\n{markdown(chosen, data, budget, version)}\n\n{version}: `clc report {version.short_id}`")
        versions.append(version.ref)
    return versions
