"""How many cores there are to compute on."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, as it sees it: microseconds of CPU time, and in how many


def available_cores() -> int:
    """Cores that this process may use: those it is tied to, where the system does that, or as many as its container
    has the time of.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = map(int, _QUOTA.read_text().split())
    except (OSError, ValueError):  # no container, or "max"
        return cores
    return min(cores, max(1, math.ceil(time / period)))
