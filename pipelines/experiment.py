"""The variants of an experiment, each a whole job, as one Prefect flow that can be run again to go on."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from clc.api import DEFAULT, find_model
from clc.experiments.budgets import Budget
from clc.experiments.catalogue import find_experiment
from clc.experiments.data_sets import general
from clc.experiments.frames import with_frames
from clc.experiments.variant import measured, trained, variant_profile
from clc.experiments.variants_table import combined, experiment_seeds, markdown
from clc.production.profile import Profile
from clc.store import Kind, Version
from clc.store.shipped import LayeredStore
from pipelines.runtime.log import quieten_user_errors


@task(cache_policy=NO_CACHE, task_run_name="train {profile.name}, seed {profile.training.seed}")
def train_variant(profile: Profile, store: str, runs: Path, start: str | None, device: str) -> str:
    """The model of one variant, trained on the general photos; what the store has is skipped."""
    opened = LayeredStore(store)
    begun = None if start is None else opened.get(Kind.MODEL, start)
    return trained(profile, store=opened, runs=runs, start=begun, device=device).ref


@task(cache_policy=NO_CACHE, task_run_name="{profile.name}, {data}")
def measure_variant(profile: Profile, data: str, model: str, store: str, frames: bool = False) -> str:
    """One variant's model on one data set → results; what the store has is skipped.

    frames: with the photos as frames of a video beside it.
    """
    opened = LayeredStore(store)
    results = measured(opened.get(Kind.MODEL, model), profile, store=opened)
    return (with_frames(results, profile, store=opened) if frames else results).ref


@flow(name="experiment", flow_run_name="{name}, {budget.name}", validate_parameters=False)
def experiment(
    name: str,
    budget: Budget,
    store: str,
    runs: Path,
    anchor: str = DEFAULT,
    start: str | None = None,
    device: str = "cpu",
) -> list[str]:
    """Every variant on every data set → one results version a data set.

    anchor: a model that the default one is compared with, where an experiment trains none.
    start: one without conditioning that all variants start from, where it does; on `device`.
    """
    quieten_user_errors()
    chosen = find_experiment(name)
    opened = LayeredStore(store)
    versions = []
    for data in chosen.data_sets(budget):
        measured_runs: dict[tuple[str, int], Version] = {}
        for variant in chosen.variants(budget, data):
            for seed in experiment_seeds(chosen, budget):
                if chosen.trained:
                    own = variant_profile(chosen, variant, general(), budget, seed)
                    model = train_variant(own, store, runs, start, device)
                else:
                    model = find_model(opened, anchor if variant.name == chosen.anchor else DEFAULT).ref
                profile = variant_profile(chosen, variant, data, budget, seed)
                results = measure_variant(profile, data.name, model, store, chosen.frames and not measured_runs)
                measured_runs[variant.name, seed] = opened.get(Kind.RESULTS, results)
        begun = None if start is None else opened.get(Kind.MODEL, start)
        version = combined(chosen, data, budget, measured_runs, store=opened, start=begun)
        opened.aliases.set(Kind.RESULTS, f"{name}-{data.name}", version)
        print(f"\n{markdown(chosen, data, budget, version)}\n\n{version}: `clc report {version.short_id}`")
        versions.append(version.ref)
    return versions
