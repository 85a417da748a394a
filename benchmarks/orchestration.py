"""What orchestration costs: the wall clock of a rebuild, less the time that its stages took.

With the private server of a run, and with a server that is running, on SQLite and, if installed, on PostgreSQL; each
for a first rebuild and for one with nothing to do. Everything that is not a stage counts: starting Python, importing,
Prefect, artifacts of the run. The trainer is a process of its own, and a stage from its start to its end.

`python -m benchmarks.orchestration`
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.postgres import postgres_programs, running_postgres
from benchmarks.printing import print_machine, print_table

_PRIVATE, _SQLITE, _POSTGRES = "private", "running, SQLite", "running, PostgreSQL"
_BUDGET = {
    (_PRIVATE, "first"): 25.0,
    (_PRIVATE, "unchanged"): 20.0,
    (_SQLITE, "first"): 8.0,
    (_POSTGRES, "first"): 8.0,
}
"""Seconds: of overhead for a first rebuild, in all for an unchanged one."""
_PORT = 4391
_START_SECONDS = 300.0


def main() -> None:
    """Entry point of `python -m benchmarks.orchestration`; ends with 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", default="demo", help="name of a profile, or path of a TOML file")
    arguments = parser.parse_args()
    profile = arguments.profile
    if profile.endswith(".toml"):
        profile = str(Path(profile).absolute())
    print_machine()
    rows: list[list[object]] = []
    missed = False
    for server in (_PRIVATE, _SQLITE, *([_POSTGRES] if postgres_programs() else [])):
        with TemporaryDirectory() as folder, _environment(server, Path(folder)) as environment:
            for run in ("first", "unchanged"):
                wall, stages = _rebuild(profile, Path(folder), environment)
                target = _BUDGET.get((server, run))
                figure = wall if run == "unchanged" else wall - stages
                missed |= target is not None and figure > target
                rows.append([server, run, wall, stages, wall - stages, "" if target is None else target])
    print_table(["server", "rebuild", "wall s", "stages s", "overhead s", "target s"], rows)
    if missed:
        sys.exit("missed: a figure is above its target (of the overhead; of the wall clock where unchanged)")


def _rebuild(profile: str, folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall clock, and the sum of what the stages say they took."""
    start = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-m", "clc", "pipeline", "run", "--profile", profile],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.monotonic() - start
    if finished.returncode:
        sys.exit(f"the rebuild failed:\n{finished.stderr}")
    said = re.findall(r"stage=(\S+) (?:finished|published) .*?seconds=([\d.]+)", finished.stderr)
    stages = {stage: float(seconds) for stage, seconds in said}
    return wall, sum(stages.values())


@contextmanager
def _environment(server: str, folder: Path) -> Iterator[dict[str, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CLC_"))}
    if server == _PRIVATE:
        yield environment
        return
    environment |= {
        "PREFECT_HOME": str(folder / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": f"http://127.0.0.1:{_PORT}/api",
    }
    with ExitStack() as stack:
        database = {}
        programs = postgres_programs()
        if server == _POSTGRES and programs is not None:
            database["PREFECT_API_DATABASE_CONNECTION_URL"] = stack.enter_context(running_postgres(programs))
        stack.enter_context(_server(environment | database))
        yield environment


@contextmanager
def _server(environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(_PORT)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(environment["PREFECT_API_URL"])
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/health", timeout=5.0).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    sys.exit(f"the server at {url} did not start within {_START_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
