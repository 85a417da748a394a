"""What tests cost in seconds of CPU, which the load of the machine hardly changes: many mean that it is slow."""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

SLOW_SECONDS = 10.0
_MEDIUM_SECONDS = 2.0
_SHOWN = 10
_COST = "cpu_seconds"


def _seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Without the fixtures: the first test that asks for one pays for all."""
    start = _seconds()
    try:
        return (yield)
    finally:
        item.user_properties.append((_COST, _seconds() - start))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The files that took most, and the tests that should be quicker or marked slow."""
    reports = [each for kind in ("passed", "failed") for each in terminalreporter.stats.get(kind, [])]
    costs = {each: cost for each in reports for name, cost in each.user_properties if name == _COST}
    files: defaultdict[str, float] = defaultdict(float)
    for report, cost in costs.items():
        files[report.nodeid.partition("::")[0]] += cost
    if sum(files.values()) < SLOW_SECONDS:
        return
    terminalreporter.section(f"{sum(files.values()):.0f} seconds of CPU, without fixtures; the files that took most")
    for file, cost in sorted(files.items(), key=lambda pair: -pair[1])[:_SHOWN]:
        terminalreporter.line(f"{cost:6.1f} {file}")
    for report, cost in costs.items():
        mark = "slow" if cost > SLOW_SECONDS else "medium" if cost > _MEDIUM_SECONDS else None
        if mark and not {mark, "slow"} & set(report.keywords):
            terminalreporter.line(f"{cost:6.1f} {report.nodeid}: make it quicker, or mark it {mark}", yellow=True)
