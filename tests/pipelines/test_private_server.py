"""The server of a run's own, in a process that outlives nothing, and whose end ends the run."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.postgres import free_port
from tests.processes import clean_environment, our_line, run_module

_START = "from pipelines.runtime.private_server import start_private_server as s; print(s().url, flush=True); input()"
_RUN = """
import threading
from clc.runtime.exit import one_line_errors, run_program
from pipelines.runtime.server import require_server, server_needed

def main():
    with one_line_errors():
        require_server()
        print("ready", flush=True)
        with server_needed():
            {work}

run_program(main)
"""
_TIDY = "try: threading.Event().wait()\n            finally: print('tidied', flush=True)"
_UNRULY = "while True:\n                try: threading.Event().wait()\n                except KeyboardInterrupt: pass"
_PROXIED = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")


@pytest.mark.medium
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_the_private_server_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    environment = clean_environment() | {"PREFECT_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", _START], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("http://127.0.0.1:")
        [server] = psutil.Process(run.pid).children()
        assert os.getpgid(server.pid) == server.pid  # Ctrl-C reaches the run alone
        os.kill(run.pid, signal.SIGKILL)
    assert _ends_within(60, server)


@pytest.mark.slow
@pytest.mark.parametrize("work", [_TIDY, _UNRULY], ids=["tidy", "does not listen"])
def test_it_starts_behind_a_proxy_and_its_death_ends_the_run_within_a_minute(prefect_home: str, work: str) -> None:
    environment = clean_environment() | _PROXIED | {"PREFECT_HOME": prefect_home}
    for name in ("NO_PROXY", "no_proxy"):
        environment.pop(name, None)
    command = [sys.executable, "-c", _RUN.format(work=work)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_in_background
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n", run.stderr
        [server] = psutil.Process(run.pid).children()
        server.kill()
        start = time.monotonic()
        done, said = run.communicate(timeout=60)
    assert time.monotonic() - start < 60
    assert ("tidied" in done) == (work is _TIDY)
    line = our_line(subprocess.CompletedProcess(command, run.returncode, stderr=said))
    assert "private server is gone (killed by SIGKILL" in line


@pytest.mark.slow
def test_a_private_server_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    nowhere = f"postgresql+asyncpg://clc@127.0.0.1:{free_port()}/prefect"
    run = run_module(
        tmp_path, "clc", "pipeline", "run", "--profile", "demo", PREFECT_API_DATABASE_CONNECTION_URL=nowhere
    )
    line = our_line(run)
    assert "private server did not start" in line
    assert "Connect call failed" in line or "Connection refused" in line


def _in_background() -> None:
    """As a shell script starts what it does not wait for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _ends_within(seconds: float, process: psutil.Process) -> bool:
    end = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:  # which nobody may ever collect
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
    return True
