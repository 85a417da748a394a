"""How a run's log reads."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from clc.errors import ClcError

_SAY_ALL = (ClcError, httpx.HTTPError)


class WithoutTraceback(logging.Filter):
    """Prefect logs a failed task, and again its flow, with a traceback; some errors say all in their message.

    They are ours, and those of a server that is gone or fails.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; strip the traceback of such an error."""
        if record.exc_info and isinstance(record.exc_info[1], _SAY_ALL):
            record.exc_info = None
        return True


class WaitsOnce(logging.Filter):
    """Prefect's runner logs "Aborted submission" twice a minute for a run that waits for another of its deployment.

    Nothing was aborted; it is said once for each run, in these words.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop such a record, but for the first of a run, which is put otherwise."""
        waits = _WAITS.match(record.getMessage())
        if waits is None:
            return True
        if waits[1] in self._said:
            return False
        self._said.add(waits[1])
        record.msg, record.args = "flow run %s waits for another run of its deployment", (waits[1],)
        return True


_FILTER = WithoutTraceback()
_WAITS = re.compile(r"Aborted submission of flow run '(\S+)'\W+Server returned a non-pending state 'SCHEDULED'")
_PROPOSER = "prefect.runner.state_proposer"


def quieten_user_errors() -> None:
    """Install the filter on Prefect's run loggers. Call it once Prefect has set up logging."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_FILTER)


def wait_in_silence() -> None:
    """Install `WaitsOnce` where Prefect's runner, which serves deployments, logs."""
    logging.getLogger(_PROPOSER).addFilter(WaitsOnce())


@contextmanager
def into_the_runs_log() -> Iterator[None]:
    """Let our lines into the log of the run that is on.

    Prefect does that for the loggers that its settings name. But a worker's process reads those before it imports us.
    """
    ours = logging.getLogger("clc")
    kinds = {type(handler) for handler in ours.handlers}
    added = [handler for handler in logging.getLogger("prefect.extra").handlers if type(handler) not in kinds]
    for handler in added:
        ours.addHandler(handler)
    try:
        yield
    finally:
        for handler in added:
            ours.removeHandler(handler)
