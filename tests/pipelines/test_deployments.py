"""What `clc pipeline serve` and `clc pipeline deploy` register."""

import re
from collections.abc import Callable
from functools import partial
from importlib import import_module

import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment

from clc.errors import ProfileError, ServerError
from pipelines.deployments import deploy, deployments, scheduled, serve

AFTER = {"train": "dictionary", "evaluate": "model", "promote": "results"}


@pytest.fixture(scope="module")
def registered() -> dict[str, RunnerDeployment]:
    """By flow."""
    chosen = deployments("demo", None, "0 3 * * *", timezone="Europe/Berlin")
    return {str(each.flow_name): each for each in chosen}


def test_only_the_rebuild_is_on_a_schedule(registered: dict[str, RunnerDeployment]) -> None:
    assert {flow for flow, each in registered.items() if each.schedules} == {"rebuild"}
    assert registered.keys() == {"rebuild", "build-dictionary", *AFTER}


def test_its_time_zone_is_stored_and_shown(registered: dict[str, RunnerDeployment]) -> None:
    [stored] = registered["rebuild"].schedules or []
    assert isinstance(stored.schedule, CronSchedule)
    assert (stored.schedule.cron, stored.schedule.timezone) == ("0 3 * * *", "Europe/Berlin")
    [line] = scheduled(list(registered.values()))
    assert re.fullmatch(r"rebuild/demo runs at '0 3 \* \* \*' in Europe/Berlin, next \w{3} \S+ 03:00 \+0[12]00", line)


def test_a_flow_starts_upon_what_the_one_before_publishes(registered: dict[str, RunnerDeployment]) -> None:
    triggered = {flow: each.triggers for flow, each in registered.items() if each.triggers}
    assert triggered.keys() == AFTER.keys()
    for flow, [trigger] in triggered.items():
        kind = AFTER[flow]
        assert trigger.expect == {f"clc.{kind}.published"}
        match = {"prefect.resource.id": f"clc.{kind}.*", "clc.profile": "demo"}
        assert trigger.match.model_dump() == match
        assert trigger.parameters == {kind: "{{ event.payload.version }}"}


def test_any_worker_finds_the_flows_which_run_one_at_a_time(registered: dict[str, RunnerDeployment]) -> None:
    for flow, each in registered.items():
        module, _, function = str(each.entrypoint).rpartition(".")
        assert getattr(import_module(module), function).name == flow
        assert each.concurrency_limit == 1


@pytest.mark.parametrize(
    ("cron", "timezone", "message"),
    [
        ("every night", None, "--cron 'every night' is no cron expression"),
        ("61 3 * * *", None, "'0 3 * * *' for every night at 3"),
        ("0 3 * * *", "Europe/Bärlin", "there is no time zone 'Europe/Bärlin'; name one as Europe/Berlin"),
    ],
)
def test_a_schedule_that_is_none_is_refused_before_a_server_is_asked(
    cron: str, timezone: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)  # asking for it would be refused as well
    for start in (partial(serve, "demo", None, cron), partial(deploy, "demo", None, cron, "clc")):
        with pytest.raises(ProfileError, match=re.escape(message)):
            start(timezone=timezone)


@pytest.mark.parametrize(
    "start", [partial(serve, "demo", None, None), partial(deploy, "demo", None, None, "clc")], ids=["serve", "deploy"]
)
def test_either_needs_a_server(start: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ServerError, match="`prefect server start`"):
        start()
