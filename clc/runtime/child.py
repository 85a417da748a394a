"""Processes that end with the one that started them, however that ends."""

import ctypes
import signal
import sys
from collections.abc import Callable

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_C_LIBRARY = ctypes.CDLL(None)  # loaded here: between fork and exec nothing may be


def _stop_with_parent() -> None:
    _C_LIBRARY.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


STOP_WITH_PARENT: Callable[[], None] | None = _stop_with_parent if sys.platform == "linux" else None
"""The `preexec_fn` of a process that is told to stop (SIGTERM) once the thread that starts it is gone, even by SIGKILL;
or what such a process calls itself. None where the system has nothing of the kind."""
