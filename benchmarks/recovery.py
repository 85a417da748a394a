"""Kill a rebuild at random moments, run it again: are the final versions those of an undisturbed run?

Every trial has a folder and a store of its own. What is killed takes turns: the process of the flow, one of its two
Dask workers, the trainer, and the private Prefect server of the run; the moment lies anywhere in the life that the
victim had in the undisturbed run. Ends with 1 unless every trial recovers to the same ids and a whole store.

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
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import print_machine, print_table
from clc.store import Store, verify_store

_VICTIMS = {"flow": None, "worker": "spawn_main", "trainer": "clc.training", "server": "uvicorn"}
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
        command = [sys.executable, "-m", "clc", "pipeline", "run", "--profile", self.profile, "--workers", "2"]
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
        lives = _lives(undisturbed.start())
        if not undisturbed.result():
            sys.exit(f"the undisturbed run failed:\n{(undisturbed.folder / 'log').read_text()}")
        if missing := _VICTIMS.keys() - lives.keys():
            sys.exit(f"the undisturbed run had no {', '.join(missing)} to kill")
        print(f"undisturbed: {time.monotonic() - start:.0f} s\n{undisturbed.result()}\n", flush=True)
        trials: list[Trial] = []
        sites = (Site(_made(Path(root, str(number))), profile) for number in count())
        for victim in islice(cycle(_VICTIMS), arguments.kills):
            trial = None
            while trial is None:
                trial = _trial(next(sites), victim, chance.uniform(*lives[victim]), undisturbed.result())
            trials.append(trial)
            print(f"{len(trials)}: {trial}", flush=True)
    print()
    print_table(
        ["killed", "after s", "stage", "runs until done", "same ids", "store problems"],
        [[t.victim, t.killed_after, t.stage, t.attempts, "yes" if t.same_ids else "no", t.problems] for t in trials],
    )
    recovered = sum(trial.recovered for trial in trials)
    print(f"{recovered} of {len(trials)} recovered to the same ids")
    if recovered < len(trials):
        sys.exit(1)


def _lives(process: subprocess.Popen[str]) -> dict[str, tuple[float, float]]:
    """Seconds after the start of a run when each victim was first and last there."""
    start = time.monotonic()
    lives: dict[str, tuple[float, float]] = {}
    while process.poll() is None:
        for victim in _VICTIMS:
            if _find(victim, process) is not None:
                now = time.monotonic() - start
                lives[victim] = (lives.get(victim, (now, now))[0], now)
        time.sleep(_POLL_SECONDS)
    return lives


def _trial(site: Site, victim: str, moment: float, expected: str) -> Trial | None:
    """None if the victim was gone at that moment."""
    start = time.monotonic()
    process = site.start()
    target = None
    while process.poll() is None and target is None:
        time.sleep(_POLL_SECONDS)
        if time.monotonic() - start >= moment:  # and later if it is not there yet
            target = _find(victim, process)
    if target is None:
        return None
    killed_after, stage = time.monotonic() - start, site.stage()
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


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
