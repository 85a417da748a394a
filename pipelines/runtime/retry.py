"""Which failures of a task may pass: those of disks and networks. Bad input fails the same way every time."""

import errno
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError

from prefect.client.schemas.objects import State

from clc.errors import AliasConflictError

RETRIES = 3
DELAYS = (2.0, 10.0, 60.0)
"""Seconds before each retry."""

_PASSING = {
    *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ENOLCK, errno.EPIPE, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
}


def may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """Whether a failed task is worth another try; what Prefect asks before it retries."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and any(map(_passes, _with_causes(error)))


def _passes(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    return isinstance(error, AliasConflictError | ConnectionError | TimeoutError)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Our errors say what failed; their causes say why."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        # urllib names the cause of a connection that failed in its own way.
        reason = seen.reason if isinstance(seen, URLError) else None
        seen = reason if isinstance(reason, BaseException) else seen.__cause__
