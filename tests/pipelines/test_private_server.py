"""The server of a run's own, in a process that outlives nothing."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.processes import clean_environment

_START = "from pipelines.runtime.private_server import start_private_server as s; print(s(), flush=True); input()"


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


def _ends_within(seconds: float, process: psutil.Process) -> bool:
    end = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:  # which nobody may ever collect
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
    return True
