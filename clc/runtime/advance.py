"""How far the work on one large photo is: who works says so, and who waits may listen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum


class Step(StrEnum):
    """What is done on a photo, as people are told."""

    ANALYSIS = "analysing"
    CODING = "coding"
    DECODING = "decoding"
    SYNTHESIS = "drawing"
    CHECK = "checking"


Listener = Callable[[Step, float], None]
"""Called with a step and the share of it that is done, 0 to 1. A step may come again."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Be told how far the work is that this thread does inside.

    >>> with listening(lambda step, share: print(f"{step} {share:.0%}")):
    ...     advanced(Step.CODING, 0.5)
    coding 50%
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def advanced(step: Step, share: float) -> None:
    """Tell who listens."""
    listener = _listener.get()
    if listener is not None:
        listener(step, share)
