"""How a run's log reads."""

import logging

from clc.errors import ClcError


class WithoutTracebackOfUserErrors(logging.Filter):
    """Prefect logs a failed task, and again its flow, with a traceback; a `ClcError` says all in its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; strip the traceback of a `ClcError`."""
        if record.exc_info and isinstance(record.exc_info[1], ClcError):
            record.exc_info = None
        return True


def quieten_user_errors() -> None:
    """Install the filter on Prefect's run loggers. Call it once Prefect has set up logging."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(WithoutTracebackOfUserErrors())
