"""What becomes of the photos of one command: each is written, named and counted as its turn comes."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import typer

from clc.commands.progress import progress, progress_of_one
from clc.commands.standard import STANDARD, announce, write_output
from clc.commands.tasks import Task
from clc.errors import ClcError, OutputError
from clc.runtime.exit import print_error
from clc.runtime.remarks import printable

Result = TypeVar("Result")
_INTERRUPTED = 130


@dataclass(frozen=True)
class Finished:
    """An output, what there is to say of it, and its PSNR in dB if that was measured."""

    data: bytes
    message: str
    psnr: float | None = None


@dataclass
class Batch:
    """The tasks of a command.

    overwrite: replace outputs that are there. quiet: print nothing but failures.
    """

    tasks: Sequence[Task]
    overwrite: bool
    quiet: bool
    _done: int = 0
    _before: int = 0
    _after: int = 0
    _failed: int = 0
    _psnr: list[float] = field(default_factory=list)

    def run(self, results: Iterator[Result | ClcError], finish: Callable[[Task, Result], Finished]) -> None:
        """Write what `finish` makes of each task's result, and sum up. A task whose result is an error is named, the
        others are done.

        Raises the error of a single task; leaves with exit code 1 if some of several failed, 130 if interrupted.
        """
        started = time.monotonic()
        try:
            alone = not self._several and not self.quiet
            with (
                progress("photos", len(self.tasks), shown=self._several and not self.quiet) as report,
                progress_of_one(shown=alone),
            ):
                for task, result in zip(self.tasks, results, strict=True):
                    self._conclude(task, result, finish)
                    report(self._done + self._failed, f"{self._after / 1e6:.2f} MB")
        except KeyboardInterrupt:
            print_error(f"interrupted after {self._done} of {len(self.tasks)} files; these are whole")
            raise typer.Exit(_INTERRUPTED) from None
        if self._several and not self.quiet:
            typer.echo(self._summary(time.monotonic() - started))
        if self._failed:
            raise typer.Exit(1)

    @property
    def _several(self) -> bool:
        return len(self.tasks) > 1

    def _conclude(self, task: Task, result: Result | ClcError, finish: Callable[[Task, Result], Finished]) -> None:
        try:
            if isinstance(result, ClcError):
                raise result
            self._write(task, finish(task, result))
        except ClcError as error:
            if not self._several and error is result:
                error.args = (naming(task.source, str(error)),)
            if not self._several or not (error is result or isinstance(error, OutputError)):
                raise
            self._failed += 1
            print_error(naming(task.source, str(error)))

    def _write(self, task: Task, finished: Finished) -> None:
        before = _size(task.source)
        write_output(task.output, finished.data, overwrite=self.overwrite, like=task.source)
        if not self.quiet:
            announce(task.output, finished.message)
        self._done += 1
        self._before += before
        self._after += len(finished.data)
        if finished.psnr is not None:
            self._psnr.append(finished.psnr)

    def _summary(self, seconds: float) -> str:
        parts = [f"{self._done} of {len(self.tasks)} files", f"{self._before:,} bytes became {self._after:,}"]
        if self._before:
            parts[-1] += f" ({100 * self._after / self._before:.1f} %)"
        lossy = [value for value in self._psnr if math.isfinite(value)]
        if lossy:
            parts.append(f"mean PSNR {sum(lossy) / len(lossy):.2f} dB")
        if len(lossy) < len(self._psnr):
            parts.append(f"{len(self._psnr) - len(lossy)} without loss")
        return ", ".join([*parts, f"{seconds:.1f} s"])


def _size(source: str) -> int:
    try:
        return 0 if source == STANDARD else os.path.getsize(source)
    except OSError:  # it was read, and is gone
        return 0


def naming(source: str, message: str) -> str:
    """A message that begins with the input that it is about."""
    name = "standard input" if source == STANDARD else printable(source)
    for beginning in (source, name):
        if message.startswith((f"{beginning}:", f"{beginning} ")):
            return name + message.removeprefix(beginning)
    return f"{name}: {message}"
