"""How a run's log reads."""

import logging

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


def prepare_logs() -> None:
    """Install the filter on Prefect's run loggers, and let our lines into the run's log. Call it within a flow.

    A worker's process sets up logging before it imports us, who name our logger in Prefect's settings.
    """
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_FILTER)
    ours = logging.getLogger("clc")
    for handler in logging.getLogger("prefect.extra").handlers:
        if not any(isinstance(own, type(handler)) for own in ours.handlers):
            ours.addHandler(handler)
