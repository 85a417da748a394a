"""How far a stage is, as a progress bar of its run: read off the lines that it logs."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact

_DONE = re.compile(r"^stage=(\S+) .*?(?:done=([\d.]+)%|(?:photo|shards)=(\d+)/(\d+))")
_LONG_SECONDS = 10.0
_PAUSE_SECONDS = 5.0


@contextmanager
def progress_bar() -> Iterator[None]:
    """For the stage that runs inside, once it has taken long and has said how far it is."""
    bar = _Bar()
    logger = logging.getLogger("clc")
    logger.addHandler(bar)
    try:
        yield
    finally:
        logger.removeHandler(bar)


class _Bar(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._next = time.monotonic() + _LONG_SECONDS
        self._artifact: UUID | None = None

    def emit(self, record: logging.LogRecord) -> None:
        found = _DONE.match(record.getMessage())
        if found is None:
            return
        stage, percent, number, total = found.groups()
        progress = float(percent) if percent else 100 * int(number) / int(total)
        if time.monotonic() < self._next and (self._artifact is None or progress < 100):
            return
        try:
            if self._artifact is None:
                self._artifact = cast(UUID, create_progress_artifact(progress=progress, description=f"stage {stage}"))
            else:
                update_progress_artifact(self._artifact, progress=progress)
            self._next = time.monotonic() + _PAUSE_SECONDS
        except httpx.HTTPError:
            # Without its server a run fails when its stage ends, and says so then; until then each try takes a minute.
            self._next = float("inf")
