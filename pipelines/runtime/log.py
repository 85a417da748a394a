"""How a run's log reads."""

import logging
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


_FILTER = WithoutTraceback()


def quieten_user_errors() -> None:
    """Install the filter on Prefect's run loggers. Call it once Prefect has set up logging."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_FILTER)


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
