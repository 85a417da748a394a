"""One Prefect task a stage. A task takes a profile, the store's URL and version references, and returns an `Outcome`.

Skipping what is done is the store's business (by recipe), so Prefect caches nothing.
"""

import logging
import re
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from clc.codec.references.artifact import references_or_latents
from clc.errors import DictionaryError, TrainingError
from clc.evaluation.measure.versions import evaluate_versions
from clc.evaluation.report.page import write_report
from clc.images import open_source
from clc.production.archiving import Packing, pack_new_photos
from clc.production.drift import Drift, measure_drift
from clc.production.profile import Profile
from clc.production.profile_stages import assignments_of
from clc.production.promotion import Promotion, patches_of
from clc.production.promotion import promote as move_production
from clc.production.starting import started_from, trained_already
from clc.store import Kind, StageResult, Store, Version
from clc.store.shipped import LayeredStore
from clc.training.job import TrainingJob
from clc.training.launch import run_trainer
from pipelines.runtime.outcome import Outcome
from pipelines.runtime.progress import progress_bar
from pipelines.runtime.retry import DELAYS, RETRIES, may_pass

RUNS = Path("runs")
REPORTS = Path("reports")

logger = logging.getLogger("clc.pipeline")

_DOES = {
    "crop": "cut patches from photos",
    "features": "describe patches",
    "reduce": "reduce features to keys",
    "cluster": "choose entries",
    "index": "assemble the dictionary",
}
"""What the stages of a dictionary do, for people."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _stage(name: str) -> Callable[[Callable[Parameters, Result]], Task[Parameters, Result]]:
    """A task with a progress bar that is tried again after a failure that may pass, and only then.

    name: of its runs, for people: what it does.
    """
    options = task(
        cache_policy=NO_CACHE,
        retries=RETRIES,
        retry_delay_seconds=list(DELAYS),
        retry_condition_fn=may_pass,
        task_run_name=name,
    )

    def made(function: Callable[Parameters, Result]) -> Task[Parameters, Result]:
        @wraps(function)
        def with_progress(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
            with progress_bar():
                return function(*arguments, **named)

        return options(with_progress)

    return made


class DictionaryTasks:
    """Runs each stage of a dictionary as a task of its name (`clc.dictionary.build.StageRunner`).

    outcomes: of those that are done, in order.
    """

    def __init__(self, store: Store) -> None:
        self.outcomes: list[Outcome] = []
        self._store = store

    def __call__(self, name: str, stage: Callable[[], StageResult], /) -> StageResult:
        """What the stage returns; the alias `latest` moves to a dictionary."""
        run = _run_stage.with_options(name=name, task_run_name=_DOES.get(name, name))
        result = run(stage, self._store)
        self.outcomes.append(Outcome.of(name, result))
        return result


@_stage("stage")
def _run_stage(stage: Callable[[], StageResult], store: Store) -> StageResult:
    result = stage()
    return _as_latest(store, result) if result.version.kind is Kind.DICTIONARY else result


@_stage("retrieve references for training photos")
def assign_references(profile: Profile, store: str, dictionary: str) -> Outcome:
    """Training photos → the references of their windows."""
    opened = Store(store)
    result = assignments_of(profile, opened.get(Kind.DICTIONARY, dictionary), store=opened)
    return Outcome.of("assignments", result)


@_stage("train the codec")
def train_codec(
    profile: Profile, reference: str, store: str, assigned: str, dictionary: str, start: str, lock: int | None
) -> Outcome:
    """Training photos and their references → model, in a process of its own; moves the alias `latest`.

    reference: what the profile was loaded by. start: as for `started_from`. lock: a file descriptor that the trainer
    keeps open while it lives.
    """
    opened = LayeredStore(store)
    devices = profile.training.devices or profile.trainer.processes
    job = TrainingJob.of_profile(
        profile.model_copy(update={"training": profile.training.model_copy(update={"devices": devices})}),
        [profile.sources.training],
        assignments=opened.get(Kind.ASSIGNMENTS, assigned),
        dictionary=opened.get(Kind.DICTIONARY, dictionary),
    )
    job = started_from(job, start, opened)
    job.check()
    published = trained_already(job, opened)
    if published is not None:
        logger.info("stage=train skipped version=%s", published)
        return Outcome.of("train", _as_latest(opened, StageResult(published, skipped=True, seconds=0.0)))

    def on_line(line: str) -> None:
        logger.info("%s", re.sub(r"^\d\d:\d\d:\d\d \S+ ", "", line))

    arguments = ["--profile", reference, "--data", profile.sources.training, "--store", opened.url]
    arguments += ["--assignments", assigned, "--dictionary", dictionary, "--runs", str(RUNS)]
    arguments += ["--devices", str(devices)]
    if job.start is not None:
        arguments += ["--from", job.start.id]
    began = time.monotonic()
    run_trainer(arguments, profile.trainer, on_line=on_line, keep_open=[] if lock is None else [lock])
    published = opened.find(job.recipe)
    if published is None:
        raise TrainingError(f"profile {reference} changed while it was trained; run again")
    result = StageResult(published, skipped=False, seconds=time.monotonic() - began)
    logger.info("stage=train finished version=%s seconds=%.1f", published, result.seconds)
    return Outcome.of("train", _as_latest(opened, result))


@_stage("code the dictionary's photos")
def code_references(profile: Profile, store: str, dictionary: str, model: str) -> Outcome:
    """Reference photos, dictionary and model → references."""
    opened = Store(store)
    result = references_or_latents(
        opened.get(Kind.DICTIONARY, dictionary),
        opened.get(Kind.MODEL, model),
        open_source(profile.sources.reference),
        config=profile.references,
        store=opened,
    )
    return Outcome.of("references", result)


@_stage("measure on test photos")
def evaluate_codec(profile: Profile, store: str, model: str) -> Outcome:
    """Test photos → results of a model with its own dictionary; moves the alias `latest`."""
    opened = Store(store)
    version = opened.get(Kind.MODEL, model)
    if "dictionary" not in version.attributes:
        raise DictionaryError(
            f"{version} was trained without a dictionary; name a model that the flow `train` has made, or measure this "
            f"one with `clc evaluate --model {version.short_id}`"
        )
    dictionary = opened.get(Kind.DICTIONARY, version.attributes["dictionary"])
    result = evaluate_versions(
        version,
        dictionary,
        [patches_of(dictionary, opened)],
        photos=open_source(profile.sources.test),
        config=profile.evaluation,
        store=opened,
        backbone=profile.features.backbone,
    )
    return Outcome.of("evaluate", _as_latest(opened, result))


@_stage("write the report")
def render_report(store: str, results: str) -> str:
    """Results → HTML page; returns its path."""
    start = time.monotonic()
    version = Store(store).get(Kind.RESULTS, results)
    path = REPORTS / f"{version.short_id}.html"
    write_report(version, path)
    logger.info("stage=report finished version=%s path=%s seconds=%.1f", version, path, time.monotonic() - start)
    return str(path)


@_stage("decide on promotion")
def pass_gate(profile: Profile, store: str, results: str) -> Promotion:
    """Results → the aliases `production`, if the profile's gate lets them through."""
    start = time.monotonic()
    opened = Store(store)
    promotion = move_production(
        opened.get(Kind.RESULTS, results),
        photos=open_source(profile.sources.test),
        gate=profile.gate,
        evaluation=profile.evaluation,
        store=opened,
        backbone=profile.features.backbone,
    )
    logger.info(
        "stage=promote finished version=%s passed=%s moved=%s seconds=%.1f",
        *(promotion.model, promotion.verdict.passed, promotion.moved, time.monotonic() - start),
    )
    return promotion


@_stage("measure drift")
def compare_with(profile: Profile, store: str, dictionary: str) -> Drift:
    """Reference photos and the dictionary in use → how far the new ones are from it."""
    opened = Store(store)
    version = opened.get(Kind.DICTIONARY, dictionary)
    return measure_drift(
        open_source(profile.sources.reference),
        version,
        crop=profile.crop,
        store=opened,
        backbone=profile.features.backbone,
    )


def _as_latest(store: Store, result: StageResult) -> StageResult:
    version: Version = result.version
    store.aliases.set(version.kind, "latest", version)
    return result


@_stage("pack new photos")
def pack_photos(profile: Profile, store: str) -> Packing:
    """New photos of a source → the archive of the dictionary in use."""
    start = time.monotonic()
    packing = pack_new_photos(
        profile.required_archive(), profile.name, open_source(profile.sources.reference), store=LayeredStore(store)
    )
    for name, reason in packing.summary.failed:
        logger.warning("stage=pack photo=%s failed: %s", name, reason)
    logger.info("stage=pack finished seconds=%.1f %s", time.monotonic() - start, packing)
    return packing
