"""Seconds of things that are compared with each other."""

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved_medians(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each action. All run in turn in every round, after a first one that does not count, so that a
    machine that is slow for a while is slow for all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if number > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
