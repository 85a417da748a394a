"""Mistakes in a call end it in one line that says what to do."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from benchmarks.postgres import free_port
from tests.commands.conftest import Call, assert_refused
from tests.processes import our_line, run_module


def one_line(folder: Path, *arguments: str, **environment: str) -> str:
    """In which `clc pipeline` says what is wrong with these arguments."""
    return our_line(run_module(folder, "clc", "pipeline", *arguments, **environment))


@pytest.mark.medium
def test_a_server_that_does_not_answer_is_named_with_what_to_do(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    assert f"server at {url} does not answer" in one_line(tmp_path, "run", "--profile", "demo", PREFECT_API_URL=url)


class OtherServer(BaseHTTPRequestHandler):
    """Answers as a server of another version does, or as one of something else."""

    answers: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        answer = self.answers.get(self.path)
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write(answer or b"no such page")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.medium
@pytest.mark.parametrize(
    ("version", "problem"),
    [(b'"2.20.4"', "has version 2.20.4, this environment 3."), (None, "as a Prefect server does"), (b"<html>", "as a")],
)
def test_a_server_of_another_version_is_refused_with_what_to_do(
    tmp_path: Path, version: bytes | None, problem: str
) -> None:
    answers = {"/api/health": b"true"} | ({} if version is None else {"/api/admin/version": version})
    handler = type("Handler", (OtherServer,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        line = one_line(tmp_path, "run", "--profile", "demo", PREFECT_API_URL=url)
        server.shutdown()
    assert problem in line
    assert url in line


@pytest.mark.medium
def test_a_profile_that_there_is_not_is_refused_before_the_server_hears_of_it(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    assert "demmo" in (line := one_line(tmp_path, "run", "--profile", "demmo", PREFECT_API_URL=url))
    assert "server" not in line


def test_a_rollback_of_nothing_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clc = Call(capsys, monkeypatch)
    assert_refused(clc("pipeline", "rollback", "--store", tmp_path / "store"), "there is no alias 'production'")


@pytest.mark.slow
def test_a_dask_scheduler_that_does_not_answer_is_named_with_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    line = our_line(run_module(tmp_path, "pipelines.rebuild", "--profile", "demo", "--dask-address", address))
    assert f"no Dask scheduler answers at {address}" in line
