"""How much memory a piece of work takes, as Linux accounts for it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_STATUS = Path("/proc/self/status")
_RESET_PEAK = (Path("/proc/self/clear_refs"), "5")


def with_peak_memory(work: Callable[[], Result]) -> tuple[Result, int | None]:
    """Do the work; also return how many bytes the process held at most beyond what it held before.

    What libraries keep from earlier work and use again is not seen, so the largest of several measurements is the one
    to quote. Memory of a GPU or of other processes does not count. None where the system does not tell.
    """
    try:
        _RESET_PEAK[0].write_text(_RESET_PEAK[1], "ascii")
        before = _kilobytes("VmRSS")
    except OSError:
        return work(), None
    result = work()
    return result, max(0, _kilobytes("VmHWM") - before) * 1024


def _kilobytes(field: str) -> int:
    lines = _STATUS.read_text("ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
