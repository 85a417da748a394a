"""`prefect.yaml` has for workers what `pipelines.deployments` has for `clc pipeline serve`."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.deployments import deployments

FILE = Path(__file__).parents[2] / "prefect.yaml"

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="an installed package has no prefect.yaml")


def described() -> dict[str, dict[str, Any]]:
    """Flow, as `serve` names it → its deployment."""
    found = yaml.safe_load(FILE.read_text())["deployments"]
    return {each["entrypoint"].replace("/", ".").replace(".py:", "."): each for each in found}


def test_the_same_flows_are_deployed() -> None:
    served = {deployment.entrypoint for deployment in deployments("demo", None, None)}
    assert described().keys() == served


def test_a_flow_starts_upon_the_same_event() -> None:
    served = {
        deployment.entrypoint: [(trigger.expect, trigger.match.model_dump(), trigger.parameters)]
        for deployment in deployments("demo", None, None)
        for trigger in deployment.triggers
    }
    assert len(served) == 3
    assert {
        flow: [(set(each["expect"]), each["match"], each["parameters"]) for each in deployment["triggers"]]
        for flow, deployment in described().items()
        if "triggers" in deployment
    } == served
