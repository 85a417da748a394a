"""A run's log has a traceback for bugs only."""

import logging

import httpx
import pytest

from clc.errors import DictionaryError
from pipelines.runtime.log import into_the_runs_log, quieten_user_errors, wait_in_silence


@pytest.mark.parametrize(
    ("error", "told"),
    [(DictionaryError("no photos"), False), (httpx.ConnectError("refused"), False), (ZeroDivisionError("bug"), True)],
)
def test_only_a_bug_is_logged_with_its_traceback(error: Exception, told: bool) -> None:
    quieten_user_errors()
    quieten_user_errors()
    logger = logging.getLogger("prefect.task_runs")
    assert len(logger.filters) == len(set(map(type, logger.filters)))
    failure = (type(error), error, None)
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, "failed", (), failure)
    assert logger.filter(record)
    assert bool(record.exc_info) == told


def test_lines_of_ours_go_where_prefect_has_those_of_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, others = logging.getLogger("clc"), logging.getLogger("prefect.extra")
    monkeypatch.setattr(ours, "handlers", [])
    monkeypatch.setattr(others, "handlers", [logging.NullHandler()])
    with into_the_runs_log(), into_the_runs_log():  # a flow that another one called
        assert ours.handlers == others.handlers
    assert ours.handlers == []


def test_a_run_that_waits_for_its_turn_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("prefect.runner.state_proposer")
    monkeypatch.setattr(logger, "filters", [])
    wait_in_silence()
    said = []
    for run, state in [("a", "SCHEDULED"), ("b", "SCHEDULED"), ("a", "SCHEDULED"), ("a", "CANCELLED")]:
        text = "Aborted submission of flow run '%s': Server returned a non-pending state %r"
        record = logger.makeRecord(logger.name, logging.INFO, __file__, 1, text, (run, state), None)
        if logger.filter(record):
            said.append(record.getMessage())
    assert said == [
        "flow run a waits for another run of its deployment",
        "flow run b waits for another run of its deployment",
        "Aborted submission of flow run 'a': Server returned a non-pending state 'CANCELLED'",
    ]
