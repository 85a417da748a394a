"""When scheduled runs start: by the clocks of a time zone, also on the days when these change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tzlocal import reload_localzone

from pipelines.schedule import machine_timezone, next_runs, schedule

BERLIN = "Europe/Berlin"
SPRING, AUTUMN = (2027, 3, 28), (2027, 10, 31)
"""Clocks go from 2 to 3 on the one day, and from 3 to 2 on the other."""


def runs(cron: str, day: tuple[int, int, int], count: int) -> list[str]:
    """By local clocks, from the day before the change on."""
    midnight = datetime(*day, tzinfo=ZoneInfo(BERLIN)) - timedelta(days=1)
    return [f"{run:%d %H:%M %z}" for run in next_runs(cron, BERLIN, count, midnight)]


def test_a_night_at_3_is_3_by_the_clock_on_both_sides_of_each_change() -> None:
    assert runs("0 3 * * *", SPRING, 3) == ["27 03:00 +0100", "28 03:00 +0200", "29 03:00 +0200"]
    assert runs("0 3 * * *", AUTUMN, 3) == ["30 03:00 +0200", "31 03:00 +0100", "01 03:00 +0100"]


def test_an_hour_that_is_left_out_or_comes_twice_has_one_run() -> None:
    assert runs("30 2 * * *", SPRING, 3) == ["27 02:30 +0100", "28 01:30 +0100", "29 02:30 +0200"]
    assert runs("30 2 * * *", AUTUMN, 3) == ["30 02:30 +0200", "31 02:30 +0200", "01 02:30 +0100"]


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        reload_localzone()  # it is looked up once
        yield
    reload_localzone()


@pytest.mark.usefixtures("in_kathmandu")
def test_without_a_time_zone_it_is_that_of_the_machine() -> None:
    assert machine_timezone() == schedule("0 3 * * *").timezone == "Asia/Kathmandu"
    [run] = next_runs("0 3 * * *", "Asia/Kathmandu", 1, datetime(2027, 1, 1, tzinfo=UTC))
    assert run.astimezone(UTC) == datetime(2027, 1, 1, 21, 15, tzinfo=UTC)
