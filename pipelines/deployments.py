"""The deployments of a profile: a rebuild on a schedule, and every part of it on the event of the part before.

`clc pipeline serve` runs all of them on one machine; `clc pipeline deploy` leaves them to the workers of a work pool.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import serve as serve_deployments
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import DeploymentApplyError, EntrypointType, RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.flows import Flow
from prefect.schedules import Cron, Schedule

from clc.errors import ProfileError, ServerError
from clc.production.profile import load_profile
from clc.production.promotion import PRODUCTION
from clc.stages.workers import DaskWorkers
from clc.store import Kind
from pipelines.flows import build_dictionary, evaluate, promote, train
from pipelines.pack import pack
from pipelines.rebuild import rebuild
from pipelines.runtime.log import wait_in_silence
from pipelines.runtime.server import require_server
from pipelines.schedule import schedule, shown

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)

_AFTER = {"train": Kind.DICTIONARY, "evaluate": Kind.MODEL, "promote": Kind.RESULTS}
"""What has to be published for a flow to start; also the name of the parameter that takes it."""


def deployments(
    profile: str,
    store: str | None,
    cron: str | None,
    workers: int | None = None,
    dask_address: str | None = None,
    *,
    timezone: str | None = None,
    start: str = PRODUCTION,
) -> list[RunnerDeployment]:
    """One deployment for each flow, named after the profile; one for `pack` if the profile packs photos.

    Raises ProfileError for a wrong profile or schedule.

    cron: when to rebuild, in a `timezone` (None: the machine's); None for a deployment that is only started by hand.
    workers, dask_address: see `build_dictionary`; start: see `train`.
    """
    when = None if cron is None else schedule(cron, timezone)
    DaskWorkers.asked_for(workers, dask_address)  # refuses what no run could do
    loaded = load_profile(profile)
    name = loaded.name
    reference = str(Path(profile).absolute()) if profile.endswith(".toml") else profile
    parameters: dict[str, Any] = {"profile": reference, "store": store}

    own: dict[str, dict[str, Any]] = {
        rebuild.name: {"workers": workers, "dask_address": dask_address, "start": start},
        build_dictionary.name: {"workers": workers, "dask_address": dask_address},
        train.name: {"start": start},
    }

    def deployed(flow: Flow[..., Any], when: Schedule | None = None) -> RunnerDeployment:
        kind = _AFTER.get(flow.name)
        deployment = flow.to_deployment(
            name,
            schedule=when,
            parameters=parameters | own.get(flow.name, {}),
            triggers=[] if kind is None else [_published(kind, name)],
            concurrency_limit=ONE_AT_A_TIME,
            entrypoint_type=EntrypointType.MODULE_PATH,  # a path would depend on where this was started
            description=(flow.fn.__doc__ or "").strip().splitlines()[0],
        )
        assert isinstance(deployment, RunnerDeployment)
        return deployment

    packing = loaded.archive
    return [
        deployed(rebuild, when),
        *(deployed(flow) for flow in (build_dictionary, train, evaluate, promote)),
        *([] if packing is None else [deployed(pack, schedule(packing.cron, timezone))]),
    ]


def serve(
    profile: str,
    store: str | None,
    cron: str | None,
    workers: int | None = None,
    dask_address: str | None = None,
    *,
    timezone: str | None = None,
    start: str = PRODUCTION,
) -> None:
    """Register the deployments of a profile and run what is due, until stopped.

    Raises ServerError without a server, ProfileError for a wrong profile or schedule.
    """
    chosen = deployments(profile, store, cron, workers, dask_address, timezone=timezone, start=start)
    require_server(own=False)
    for line in scheduled(chosen):
        print(line, flush=True)
    wait_in_silence()
    serve_deployments(*chosen)


def deploy(
    profile: str,
    store: str | None,
    cron: str | None,
    pool: str,
    *,
    only: str | None = None,
    workers: int | None = None,
    dask_address: str | None = None,
    timezone: str | None = None,
    start: str = PRODUCTION,
) -> list[str]:
    """Register the deployments of a profile for the workers of a work pool; what Prefect calls them, and when they run.

    Workers run them in the folder that has the name of this one.
    only: register the deployment of this flow, and leave the others as they are.
    Raises ServerError without a server or for a work pool that it does not have, ProfileError for a wrong profile or
    schedule, or a flow that there is not.
    """
    chosen = deployments(profile, store, cron, workers, dask_address, timezone=timezone, start=start)
    if only is not None:
        flows = [each.flow_name for each in chosen]
        chosen = [each for each in chosen if each.flow_name == only]
        if not chosen:
            raise ProfileError(f"there is no flow {only!r}: use one of {', '.join(map(str, flows))}")
    require_server(own=False)
    for each in chosen:
        each.job_variables = {"working_dir": str(Path.cwd())}
        try:
            each.apply(work_pool_name=pool)
        except DeploymentApplyError as error:
            raise ServerError(
                f"{each.flow_name} cannot be deployed ({error}); is there a work pool {pool!r}? "
                f"If not: prefect work-pool create {pool} --type process"
            ) from error
    return [f"{each.flow_name}/{each.name}" for each in chosen] + scheduled(chosen)


def scheduled(chosen: Sequence[RunnerDeployment]) -> list[str]:
    """A line for each deployment with a schedule, with its next run."""
    return [
        f"{each.flow_name}/{each.name} runs at {shown(Cron(when.cron, timezone=when.timezone))}"
        for each in chosen
        for found in each.schedules or []
        if isinstance(when := found.schedule, CronSchedule)
    ]


def _published(kind: Kind, profile: str) -> DeploymentEventTrigger:
    return DeploymentEventTrigger(
        name=f"{kind} published for {profile}",
        expect={f"clc.{kind}.published"},
        match={"prefect.resource.id": f"clc.{kind}.*", "clc.profile": profile},
        parameters={str(kind): "{{ event.payload.version }}"},
    )
