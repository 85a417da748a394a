"""`clc pipeline status`: what is in production and was refused last, by the store; what runs next, by the server."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL

from clc.production.profile import load_profile
from clc.production.status import status
from clc.store import Store
from pipelines.runtime.server import require_server

_MOST = 200


def lines(profile: str | None, store: str | None) -> list[tuple[str, str]]:
    """What to print: a title and its text. profile: only its runs. Raises ServerError if a named server is gone."""
    found = status(Store(store))
    shown = [
        ("in production", "nothing" if found.production is None else str(found.production)),
        ("last refusal", "none" if found.refused is None else str(found.refused)),
    ]
    if PREFECT_API_URL.value() is None:
        return [*shown, ("next run", "no Prefect server is named (PREFECT_API_URL), so none is scheduled")]
    require_server(own=False)
    due = _next_runs(None if profile is None else load_profile(profile).name)
    return [*shown, *(("next run", each) for each in due or ["none is scheduled"])]


def _next_runs(name: str | None) -> list[str]:
    """The first scheduled run of every deployment that has one, ascending."""
    chosen = None if name is None else DeploymentFilter.model_validate({"name": {"any_": [name]}})
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}}),
            deployment_filter=chosen,
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=_MOST,
        )
        due: dict[str, str] = {}
        for run in runs:
            if run.deployment_id is None or run.next_scheduled_start_time is None:
                continue
            deployment = client.read_deployment(run.deployment_id)
            called = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
            due.setdefault(called, f"{run.next_scheduled_start_time.astimezone():%Y-%m-%d %H:%M %z}")
        return [f"{called} at {when}" for called, when in due.items()]
