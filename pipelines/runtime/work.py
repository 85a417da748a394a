"""What every flow begins with: the profile it was asked for, its store, and nobody else at work on the same."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed, Failed

from clc.production.archiving import Packing
from clc.production.profile import Profile, load_profile
from clc.production.promotion import Promotion
from clc.store import Store
from pipelines.runtime.exclusive import exclusive_run
from pipelines.runtime.log import into_the_runs_log, quieten_user_errors
from pipelines.runtime.outcome import Outcome
from pipelines.stages import RUNS

logger = logging.getLogger("clc.pipeline")


@dataclass(frozen=True)
class Work:
    """reference: what the profile was loaded by; store: its URL; lock: held while this runs."""

    profile: Profile
    reference: str
    store: str
    lock: int


@contextmanager
def begin(profile: str, store: str | None, turn: str | None = None) -> Iterator[Work]:
    """Load the profile, and wait until no other process works for one of its name here.

    turn: wait only for those that do the same, which goes by this name.

    Flows that are called meanwhile send no heartbeats: they live as long as their caller, which sends its own, and
    Prefect waits up to a second at the end of every flow for them to stop.

    Raises ProfileError for a wrong profile, OutputError if the folder of runs cannot be written.
    """
    quieten_user_errors()
    logging.getLogger("clc").setLevel(logging.INFO)  # also where a worker started this, not our command
    loaded = load_profile(profile)
    quiet = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with (
        into_the_runs_log(),
        exclusive_run(loaded.name if turn is None else f"{loaded.name}-{turn}", RUNS) as lock,
        quiet,
    ):
        yield Work(loaded, profile, Store(store).url, lock)


def announce(work: Work, outcome: Outcome) -> None:
    """Tell the server that a version is there, so that deployments that wait for it start.

    Also of one that was there before: whoever made it may have died before telling. Who is told skips what is done.
    A flow that was called by another tells nobody: its caller goes on itself.
    """
    if called():
        return
    kind, _, id = outcome.version.partition("/")
    emit_event(
        f"clc.{kind}.published",
        resource={"prefect.resource.id": f"clc.{kind}.{id}", "clc.profile": work.profile.name},
        payload={"version": outcome.version, "store": work.store},
    )
    logger.info("event=clc.%s.published version=%s", kind, outcome.shown)


def announce_refusal(work: Work, results: str, promotion: Promotion) -> None:
    """Tell the server that the gate has refused a model, and why: for automations that tell people."""
    emit_event(
        "clc.promotion.refused",
        resource={
            "prefect.resource.id": f"clc.{promotion.model.ref.replace('/', '.')}",
            "clc.profile": work.profile.name,
        },
        payload={
            "model": promotion.model.ref,
            "dictionary": promotion.dictionary.ref,
            "results": results,
            "store": work.store,
            "reasons": list(promotion.verdict.reasons),
        },
    )
    logger.info("event=clc.promotion.refused version=%s", promotion.model)


def announce_packing(work: Work, packing: Packing) -> None:
    """Tell the server that an archive has new photos."""
    emit_event(
        "clc.archive.packed",
        resource={"prefect.resource.id": f"clc.archive.{packing.url}", "clc.profile": work.profile.name},
        payload={
            "url": packing.url,
            "dictionary": packing.dictionary.ref,
            "started": packing.started,
            "packed": packing.summary.packed,
            "failed": [name for name, _ in packing.summary.failed],
            "bytes": packing.size,
        },
    )
    logger.info("event=clc.archive.packed url=%s packed=%d", packing.url, packing.summary.packed)


def called() -> bool:
    """Whether the flow that is on was called by another one."""
    return flow_run.parent_flow_run_id is not None


def ended(name: str, message: str, result: object, *, failed: bool = False) -> Any:
    """End a flow with a result for its caller, under a state name and with a message for whoever looks at its runs."""
    with into_the_runs_log():
        logger.info("flow=%s state=%s %s", flow_run.flow_name, name, message)
    return (Failed if failed else Completed)(name=name, message=message, data=result)
