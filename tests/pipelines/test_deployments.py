"""What `clc pipeline serve` and `clc pipeline deploy` register."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import pytest
from prefect.deployments.runner import RunnerDeployment

from clc.errors import ServerError
from pipelines.deployments import deploy, deployments, serve

AFTER = {"train": "dictionary", "evaluate": "model", "promote": "results"}


@pytest.fixture(scope="module")
def registered() -> dict[str, RunnerDeployment]:
    """By flow."""
    return {str(each.flow_name): each for each in deployments("demo", None, "0 3 * * *")}


def test_only_the_rebuild_is_on_a_schedule(registered: dict[str, RunnerDeployment]) -> None:
    assert {flow for flow, each in registered.items() if each.schedules} == {"rebuild"}
    assert registered.keys() == {"rebuild", "build-dictionary", *AFTER}


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
    "start", [partial(serve, "demo", None, None), partial(deploy, "demo", None, None, "clc")], ids=["serve", "deploy"]
)
def test_either_needs_a_server(start: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ServerError, match="`prefect server start`"):
        start()
