"""Kill rebuilds at random moments, run them again: are the final versions those of an undisturbed run?

A trial is one rebuild in a folder and a store of its own, killed up to four times on its way, in random order: one of
its two Dask workers, the process of the flow, the trainer, and the private Prefect server of the run. Each moment lies
anywhere in the life that the victim had in the undisturbed run, counted over all runs of the trial. Ends with 1 unless
every trial comes to the same ids and to a whole store.

`python -m benchmarks.recovery --kills 20`
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.printing import print_machine, print_table
from clc.store import Store, verify_store

_PROFILE = str(Path(__file__).with_suffix(".toml"))
_VICTIMS = {"flow": None, "worker": "spawn_main", "trainer": "clc train", "server": "uvicorn"}
"""What is killed → what its command line contains; None for the process that was started."""
_POLL_SECONDS = 0.25
_MORE_RUNS = 3
"""Than kills, before a trial is given up."""


@dataclass(frozen=True)
class Kill:
    """after: seconds of the runs of its trial; stage: the last that the log named."""

    victim: str
    after: float
    stage: str


@dataclass(frozen=True)
class Trial:
    """One rebuild. runs: until one went through; different: where its result is another than the undisturbed one's."""

    kills: list[Kill]
    runs: int
    different: list[str]
    problems: int

    @property
    def recovered(self) -> bool:
        """Whether the disturbed rebuild came to the same end."""
        return not self.different and self.problems == 0


@dataclass(frozen=True)
class Site:
    """A folder to run in."""

    folder: Path
    profile: str

    def start(self) -> subprocess.Popen[str]:
        """A rebuild, its output in `log` and its result in `out`."""
        command = [sys.executable, "-m", "clc", "pipeline", "run", "--profile", self.profile, "--workers", "2"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CLC_"))}
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
    parser.add_argument("--profile", default=_PROFILE, help="name of a profile, or path of a TOML file")
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
        left = arguments.kills
        while left > 0:
            victims = chance.sample(list(_VICTIMS), min(left, len(_VICTIMS)))
            moments = sorted((chance.uniform(*lives[victim]), victim) for victim in victims)
            site = Site(_made(Path(root, str(len(trials)))), profile)
            trials.append(_trial(site, moments, undisturbed.result()))
            if not trials[-1].kills:
                sys.exit(f"there was nothing to kill:\n{(site.folder / 'log').read_text()}")
            left -= len(trials[-1].kills)
            print(f"{len(trials)}: {trials[-1]}", flush=True)
    print()
    print_table(
        ["rebuild", "killed", "after s", "stage", "runs until done", "same ids", "store problems"],
        [
            [
                number,
                kill.victim,
                kill.after,
                kill.stage,
                trial.runs,
                "no" if trial.different else "yes",
                trial.problems,
            ]
            for number, trial in enumerate(trials, 1)
            for kill in trial.kills
        ],
    )
    recovered = sum(len(trial.kills) for trial in trials if trial.recovered)
    print(f"{recovered} of {arguments.kills} recovered to the same ids")
    if recovered < arguments.kills:
        sys.exit(1)


def _lives(process: subprocess.Popen[str]) -> dict[str, tuple[float, float]]:
    """Seconds after the start of a run when each victim was first and last there."""
    start = time.monotonic()
    lives: dict[str, tuple[float, float]] = {}
    while process.poll() is None:
        now = time.monotonic() - start
        for victim in _victims(process):
            lives[victim] = (lives.get(victim, (now, now))[0], now)
        time.sleep(_POLL_SECONDS)
    return lives


def _trial(site: Site, moments: list[tuple[float, str]], expected: str) -> Trial:
    """moments: seconds over all runs, ascending, and who is killed then; those that come too late are left out."""
    kills: list[Kill] = []
    waiting = list(moments)
    spent = 0.0
    runs: list[subprocess.Popen[str]] = []
    while (not runs or runs[-1].returncode) and len(runs) < len(moments) + _MORE_RUNS:
        start = time.monotonic()
        process = site.start()
        runs.append(process)
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
            now = spent + time.monotonic() - start
            due = [victim for moment, victim in waiting if moment <= now]
            there = _victims(process) if due else {}
            victim = next((each for each in due if each in there), None)
            if victim is None:
                continue  # whoever is not there at its moment is killed when it is, or else let live
            os.kill(there[victim], signal.SIGKILL)
            kills.append(Kill(victim, now, site.stage()))
            waiting = [each for each in waiting if each[1] != victim]
        spent += time.monotonic() - start
    for process in runs:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # nothing of a run may stay behind
    problems = verify_store(Store(site.folder / "artifacts"))
    came, wanted = (set(result.splitlines()) for result in (site.result(), expected))
    different = [*sorted(came - wanted), *(f"no {line}" for line in sorted(wanted - came))]
    if runs[-1].returncode:
        different.append(f"the last run ended with {runs[-1].returncode}")
    return Trial(kills, len(runs), different, len(problems))


def _victims(process: subprocess.Popen[str]) -> dict[str, int]:
    """Those that are there now → the process to kill."""
    found: dict[str, int] = {}
    with suppress(psutil.NoSuchProcess):
        flow = psutil.Process(process.pid)
        for each in [flow, *flow.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                line = " ".join(each.cmdline())
                for victim, mark in _VICTIMS.items():
                    if mark in line if mark else each is flow:
                        found.setdefault(victim, each.pid)
    return found


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
