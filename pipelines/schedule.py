"""When a flow runs by itself: a cron expression, in a time zone, so that 3 o'clock is 3 o'clock all year."""

from datetime import datetime
from zoneinfo import ZoneInfo

from prefect.client.schemas.schedules import CronSchedule
from prefect.schedules import Cron, Schedule
from pydantic import ValidationError
from tzlocal import get_localzone_name

from clc.errors import ProfileError


def schedule(cron: str, timezone: str | None = None) -> Schedule:
    """For a deployment. timezone: by its IANA name; None is the machine's.

    Raises ProfileError for a cron expression or a time zone that is none.
    """
    timezone = timezone or machine_timezone()
    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        raise ProfileError(
            f"--cron {cron!r} is no cron expression; write minute, hour, day, month and weekday, as '0 3 * * *' "
            "for every night at 3"
        ) from error
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        raise ProfileError(f"there is no time zone {timezone!r}; name one as Europe/Berlin, or UTC") from error
    return Cron(cron, timezone=timezone)


def machine_timezone() -> str:
    """The IANA name of the time zone of this machine; UTC if it has none."""
    return get_localzone_name() or "UTC"


def next_runs(cron: str, timezone: str, count: int, after: datetime | None = None) -> list[datetime]:
    """When a Prefect server will start what has this schedule. Ascending, in its time zone.

    Once a day stays once a day when clocks change: of an hour that comes twice, the first counts, and what lies in an
    hour that is left out runs an hour earlier by the sun, which is the hour before.
    """
    from prefect.server.schemas.schedules import CronSchedule as ServedSchedule  # here: it takes two seconds

    # The public method is asynchronous, and only sorts what this one yields.
    dates = ServedSchedule(cron=cron, timezone=timezone)._get_dates_generator(n=count, start=after)
    return sorted(date.astimezone(ZoneInfo(timezone)) for date in dates)


def shown(schedule: Schedule) -> str:
    """A schedule and the next run by it, for people."""
    assert schedule.cron is not None, "we make no others"
    timezone = schedule.timezone or "UTC"
    [next_run] = next_runs(schedule.cron, timezone, 1)
    return f"{schedule.cron!r} in {timezone}, next {next_run:%a %Y-%m-%d %H:%M %z}"
