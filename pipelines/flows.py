"""The flows that `rebuild` composes; each can be deployed by itself, and tells the server what it published."""

from prefect import flow

from clc.production.gate import Refusal
from clc.production.profile_stages import dictionary_of
from clc.production.promotion import PRODUCTION, Promotion, dictionary_to_keep
from clc.stages.workers import DaskWorkers
from clc.store import Store
from pipelines.runtime.names import run_name
from pipelines.runtime.outcome import Outcome
from pipelines.runtime.work import announce, announce_refusal, begin, called, ended
from pipelines.show import show_curve, show_entries, show_promotion, show_stages
from pipelines.stages import (
    DictionaryTasks,
    assign_references,
    code_references,
    evaluate_codec,
    pass_gate,
    train_codec,
)


@flow(name="build-dictionary", flow_run_name=run_name)
def build_dictionary(
    profile: str, store: str | None = None, workers: int | None = None, dask_address: str | None = None
) -> list[Outcome]:
    """Photos → dictionary (paper figure 2 (a)), the last outcome.

    workers: of this machine, or those of the Dask scheduler at `dask_address`, cut patches and extract features.
    """
    dask = DaskWorkers.asked_for(workers, dask_address)
    with begin(profile, store) as work:
        opened = Store(work.store)
        tasks = DictionaryTasks(opened)
        dictionary_of(work.profile, store=opened, workers=dask, earlier=dictionary_to_keep(opened), run=tasks)
        announce(work, tasks.outcomes[-1])
        show_stages(work, tasks.outcomes)
        show_entries(work, tasks.outcomes[-1])
    return tasks.outcomes


@flow(name="train", flow_run_name=run_name)
def train(profile: str, dictionary: str, store: str | None = None, start: str = PRODUCTION) -> list[Outcome]:
    """Dictionary version → assignments, model and references.

    start: the model that training starts from: `production`, `none` (random weights), or any other.
    """
    with begin(profile, store) as work:
        assigned = assign_references(work.profile, work.store, dictionary)
        model = train_codec(work.profile, work.reference, work.store, assigned.version, dictionary, start, work.lock)
        coded = code_references(work.profile, work.store, dictionary, model.version)
        announce(work, model)
        outcomes = [assigned, model, coded]
        show_stages(work, outcomes)
    return outcomes


@flow(name="evaluate", flow_run_name=run_name)
def evaluate(profile: str, model: str, store: str | None = None) -> list[Outcome]:
    """Model version, with the dictionary that it was trained against → results."""
    with begin(profile, store) as work:
        results = evaluate_codec(work.profile, work.store, model)
        announce(work, results)
        show_stages(work, [results])
        show_curve(work, results)
    return [results]


@flow(name="promote", flow_run_name=run_name)
def promote(profile: str, results: str, store: str | None = None) -> Promotion:
    """Results version → production, if it passes the gate; otherwise everything stays, and the run says why."""
    with begin(profile, store) as work:
        promotion = pass_gate(work.profile, work.store, results)
        if promotion.refused:
            announce_refusal(work, results, promotion)
        show_promotion(work, promotion)
    name = _name_of(promotion)
    failed = promotion.refused and work.profile.gate.refusal is Refusal.FAILED and not called()
    return ended(name, str(promotion), promotion, failed=failed)


def _name_of(promotion: Promotion) -> str:
    if promotion.moved:
        return "Promoted"
    return "NotPromoted" if promotion.refused else "Unchanged"
