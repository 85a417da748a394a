"""How far a command is that takes long, as a line on the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clc.runtime.advance import Step, listening

Report = Callable[[int, str], None]
"""Called with how many photos are done, and what they have become."""


@contextmanager
def progress(what: str, total: int | None, *, shown: bool = True) -> Iterator[Report]:
    """A line on the terminal that stderr is, if it is one: photos, rate, what they became, time left.

    total: photos; None if that is not known. shown: False shows nothing.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda done, became: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}  {task.fields[became]}")
    columns = (BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file or a pipe is not for the terminal
    ) as bar:
        task = bar.add_task(what, total=total, rate="", became="")

        def report(done: int, became: str) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{done / elapsed:.2f} photos/s" if elapsed > 0 else ""
            bar.update(task, completed=done, rate=rate, became=became)

        yield report


@contextmanager
def progress_of_one(*, shown: bool = True) -> Iterator[None]:
    """A line on the terminal that stderr is, if it is one, while a large photo is worked on: the step, and how much of
    it is done. Photos that take no bands show nothing.
    """
    if not (shown and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
    task = bar.add_task("", total=1.0)

    def told(step: Step, share: float) -> None:
        bar.start()
        bar.update(task, description=step, completed=share, refresh=bar.tasks[0].description != step)

    try:
        with listening(told):
            yield
    finally:
        bar.stop()
