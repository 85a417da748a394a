"""The deployments, on a real Prefect server with PostgreSQL and a worker of a process work pool."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.postgres import free_port, postgres_programs, running_postgres
from clc.store import Kind, Store
from tests.processes import PROFILE, clean_environment, our_line, run_module, small_photos

PROGRAMS = postgres_programs()
PATIENCE = 900.0  # seconds: what takes seconds on an idle machine takes minutes on a busy one

needs_postgres = pytest.mark.skipif(
    PROGRAMS is None, reason="PostgreSQL is not installed: `apt-get install postgresql`, or see docs/operations.md"
)


@dataclass(frozen=True)
class Site:
    """A folder where `prefect` and `clc` run against one server."""

    folder: Path
    environment: dict[str, str]

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.folder, env=self.environment, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def run(self, *command: str) -> str:
        finished = subprocess.run(
            [sys.executable, "-m", *command], cwd=self.folder, env=self.environment, check=False, capture_output=True,
            text=True,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def api(self, path: str, **body: Any) -> Any:
        answer = httpx.post(f"{self.environment['PREFECT_API_URL']}{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def flow_runs(self, flow: str) -> list[dict[str, Any]]:
        """The runs of a flow that neither another flow nor a schedule started, oldest first."""
        runs = self.api("/flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_ASC")
        return [run for run in runs if run["parent_task_run_id"] is None and not run["auto_scheduled"]]

    def start_deployment(self, name: str) -> None:
        url = f"{self.environment['PREFECT_API_URL']}/deployments/name/{name}"
        self.api(f"/deployments/{httpx.get(url, timeout=30).raise_for_status().json()['id']}/create_flow_run")

    def log(self, flow: str) -> str:
        """Of all runs of a flow."""
        ids = [run["id"] for run in self.flow_runs(flow)]
        return "\n".join(line["message"] for line in self.api("/logs/filter", logs={"flow_run_id": {"any_": ids}}))

    def states(self, flow: str) -> list[str]:
        return [run["state_name"] for run in self.flow_runs(flow)]


def eventually(what: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(1.0)
    return what()


@contextmanager
def stopped_afterwards(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert PROGRAMS is not None
    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    with running_postgres(PROGRAMS) as database:
        environment = clean_environment() | {
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_HOME": str(folder / ".prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
            # As docs/operations.md has it: a server that dies must not forget who holds a slot.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }
        site = Site(folder, environment)
        (folder / "profile.toml").write_text(PROFILE.format(**small_photos(folder)))
        with stopped_afterwards(site.start("prefect", "server", "start", "--port", str(port), log="server.log")):
            assert eventually(lambda: _answers(environment["PREFECT_API_URL"])), (folder / "server.log").read_text()
            yield site


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.slow
@needs_postgres
def test_a_worker_rebuilds_and_a_published_dictionary_is_trained_evaluated_and_promoted(server: Site) -> None:
    worker = ("prefect", "worker", "start", "--pool", "clc", "--type", "process")  # makes the pool if it is not there
    with stopped_afterwards(server.start(*worker, log="worker.log")):
        assert eventually(lambda: bool(server.api("/work_pools/filter")))
        deploy = ("clc", "pipeline", "deploy", "--profile", "profile.toml", "--cron", "0 0 1 1 *")
        missing = our_line(run_module(server.folder, *deploy, "--pool", "elsewhere", **server.environment))
        assert "prefect work-pool create elsewhere" in missing
        assert server.run(*deploy, "--pool", "clc", "--only", "train").split() == ["train/small-test"]
        *names, scheduled = server.run(*deploy, "--pool", "clc").splitlines()
        assert len(names) == 5
        assert scheduled.startswith("rebuild/small-test runs at '0 0 1 1 *'")
        server.start_deployment("build-dictionary/small-test")
        assert eventually(lambda: server.states("promote") == ["Promoted"]), _all_states(server)
        assert [server.states(flow) for flow in ("build-dictionary", "train", "evaluate")] == [["Completed"]] * 3
        production = Store(server.folder / "artifacts").aliases.resolve(Kind.MODEL, "production")
        assert eventually(lambda: "stage=train finished" in server.log("train")), server.log("train")
        assert eventually(lambda: "state=Promoted" in server.log("promote")), server.log("promote")

        # Two at once: the second waits for the first, and finds nothing to do, as the first one did.
        for _ in range(2):
            server.start_deployment("rebuild/small-test")
        assert eventually(lambda: server.states("rebuild") == ["NothingToDo"] * 2), _all_states(server)
        first, second = sorted(server.flow_runs("rebuild"), key=lambda run: run["start_time"])
        assert first["end_time"] <= second["start_time"]
    assert Store(server.folder / "artifacts").aliases.resolve(Kind.MODEL, "production") == production


@pytest.mark.slow
@needs_postgres
def test_a_run_that_was_killed_is_marked_crashed_by_the_next_one_which_finishes_its_work(server: Site) -> None:
    text = (
        (server.folder / "profile.toml").read_text().replace("small-test", "killed").replace("steps = 2", "steps = 3")
    )
    (server.folder / "killed.toml").write_text(text)
    before = len(server.flow_runs("rebuild"))
    command = ("clc", "pipeline", "run", "--profile", "killed.toml", "--store", "killed-artifacts")
    with stopped_afterwards(server.start(*command, log="killed.log")) as process:
        assert eventually(lambda: "stage=train photos=" in (server.folder / "killed.log").read_text())
        process.kill()  # the trainer is stopped by the death of its parent
        process.wait()
    assert server.states("rebuild")[before:] == ["Running"]
    printed = server.run(*command)
    assert server.states("rebuild")[before:] == ["Crashed", "Promoted"]
    assert server.api("/flow_runs/count", flow_runs={"state": {"type": {"any_": ["RUNNING"]}}}) == 0
    assert "production" in printed


@pytest.mark.slow
@needs_postgres
def test_the_server_schedules_what_is_served(server: Site) -> None:
    profile = (server.folder / "profile.toml").read_text().replace("small-test", "served")
    (server.folder / "served.toml").write_text(profile)
    serve = ("clc", "pipeline", "serve", "--profile", "served.toml")
    with stopped_afterwards(server.start(*serve, log="serve.log")):
        assert eventually(
            lambda: (
                server.api(
                    "/flow_runs/count",
                    deployments={"name": {"any_": ["served"]}},
                    flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}},
                )
                > 0
            )
        ), (server.folder / "server.log").read_text()


def _all_states(server: Site) -> dict[str, list[str]]:
    return {flow: server.states(flow) for flow in ("build-dictionary", "train", "evaluate", "promote", "rebuild")}
