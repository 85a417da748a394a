"""Kill a rebuild at random moments, run it again: are the final versions those of an undisturbed run?

Every trial has a folder and a store of its own. What is killed takes turns: the process of the flow, the trainer, and
the private Prefect server of the run. Ends with 1 unless every trial recovers to the same ids and a whole store.

`python -m benchmarks.recovery --kills 20`
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import print_machine, print_table
from clc.store import Store, verify_store

_VICTIMS = {"flow": None, "trainer": "clc.training", "server": "uvicorn"}
"""What is killed → what its command line contains; None for the process that was started."""
_POLL_SECONDS = 0.05
_ATTEMPTS = 3


@dataclass(frozen=True)
class Trial:
    """One kill. killed_after: seconds; stage: the last that the log named; attempts: runs until one went through."""

    victim: str
    killed_after: float
    stage: str
    attempts: int
    same_ids: bool
    problems: int

    @property
    def recovered(self) -> bool:
        """Whether the disturbed run came to the same end."""
        return self.same_ids and self.problems == 0


@dataclass(frozen=True)
class Site:
    """A folder to run in."""

    folder: Path
    profile: str

    def start(self) -> subprocess.Popen[str]:
        """A rebuild, its output in `log` and its result in `out`."""
        command = [sys.executable, "-m", "clc", "pipeline", "run", "--profile", self.profile]
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        with (self.folder / "log").open("a") as log, (self.folder / "out").open("w") as out:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=out, stderr=log, text=True, start_new_session=True
            )

    def result(self) -> str:
        """The versions that the last run printed, without the report's path."""
        lines = (self.folder / "out").read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("report"))

    def stage(self) -> str:
        """The last stage that the log names."""
        words = (self.folder / "log").read_text().split()
        return next((word.partition("=")[2] for word in reversed(words) if word.startswith("stage=")), "none yet")


def main() -> None:
    """Entry point of `python -m benchmarks.recovery`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", default="demo", help="name of a profile, or path of a TOML file")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    profile = arguments.profile
    if profile.endswith(".toml"):
        profile = str(Path(profile).absolute())
    print_machine()
    chance = random.Random(arguments.seed)
    with TemporaryDirectory() as root:
        undisturbed = Site(_made(Path(root, "undisturbed")), profile)
        start = time.monotonic()
        if undisturbed.start().wait():
            sys.exit(f"the undisturbed run failed:\n{(undisturbed.folder / 'log').read_text()}")
        seconds = time.monotonic() - start
        print(f"undisturbed: {seconds:.0f} s\n{undisturbed.result()}\n", flush=True)
        trials = []
        for number, victim in enumerate(islice(_turns(), arguments.kills)):
            site = Site(_made(Path(root, str(number))), profile)
            trials.append(_trial(site, victim, chance.uniform(0.02, 0.98) * seconds, undisturbed.result()))
            print(f"{number + 1}: {trials[-1]}", flush=True)
    print()
    print_table(
        ["killed", "after s", "stage", "runs until done", "same ids", "store problems"],
        [[t.victim, t.killed_after, t.stage, t.attempts, "yes" if t.same_ids else "no", t.problems] for t in trials],
    )
    recovered = sum(trial.recovered for trial in trials)
    print(f"{recovered} of {len(trials)} recovered to the same ids")
    if recovered < len(trials):
        sys.exit(1)


def _trial(site: Site, victim: str, moment: float, expected: str) -> Trial:
    start = time.monotonic()
    process = site.start()
    while process.poll() is None and time.monotonic() - start < moment:
        time.sleep(_POLL_SECONDS)
    target = _find(victim, process)
    while process.poll() is None and target is None:  # the trainer may not have been started yet
        time.sleep(_POLL_SECONDS)
        target = _find(victim, process)
    killed_after, stage = time.monotonic() - start, site.stage()
    if target is not None:
        os.kill(target, signal.SIGKILL)
    process.wait()
    attempts = 1
    while site.start().wait() and attempts < _ATTEMPTS:
        attempts += 1
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the private server of a flow that was killed stays behind
    problems = verify_store(Store(site.folder / "artifacts"))
    return Trial(victim, killed_after, stage, attempts, site.result() == expected, len(problems))


def _find(victim: str, process: subprocess.Popen[str]) -> int | None:
    """The process to kill, if it is there now."""
    mark = _VICTIMS[victim]
    if mark is None:
        return process.pid if process.poll() is None else None
    return next((pid for pid, line in _descendants(process.pid) if mark in line), None)


def _descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Processes below one, with their command lines."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text()
            line = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if int(status.rpartition(")")[2].split()[1]) == pid:
            yield int(entry.name), line
            yield from _descendants(int(entry.name))


def _turns() -> Iterator[str]:
    while True:
        yield from _VICTIMS


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
