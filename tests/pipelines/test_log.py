"""A run's log has a traceback for bugs only."""

import logging

import httpx
import pytest

from clc.errors import DictionaryError
from pipelines.log import prepare_logs


@pytest.mark.parametrize(
    ("error", "told"),
    [(DictionaryError("no photos"), False), (httpx.ConnectError("refused"), False), (ZeroDivisionError("bug"), True)],
)
def test_only_a_bug_is_logged_with_its_traceback(error: Exception, told: bool) -> None:
    prepare_logs()
    prepare_logs()
    logger = logging.getLogger("prefect.task_runs")
    assert len(logger.filters) == len(set(map(type, logger.filters)))
    failure = (type(error), error, None)
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, "failed", (), failure)
    assert logger.filter(record)
    assert bool(record.exc_info) == told
