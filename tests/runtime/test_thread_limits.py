"""What a program sets up before PyTorch reads it."""

import subprocess
import sys

import pytest

from tests.processes import clean_environment


def _printed(code: str, **given: str) -> list[str]:
    unset = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in clean_environment().items() if name not in unset} | given
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("module", ["clc", "clc.store", "pipelines"])
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_threads_spin_shortly_unless_the_environment_says_otherwise(
    module: str, given: dict[str, str], spins: str
) -> None:
    code = f"import os, sys, {module}; print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    assert _printed(code, **given) == ["False", spins]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("given", "asleep"), [({}, "True"), ({"GOMP_SPINCOUNT": "7"}, "False"), ({"OMP_WAIT_POLICY": "passive"}, "False")]
)
def test_a_team_sleeps_where_pytorch_was_imported_before(given: dict[str, str], asleep: str) -> None:
    code = """import threading, torch
import clc
teams = [thread for thread in threading.enumerate() if thread.name == "clc-sleeping-team"]
print(bool(teams))"""
    assert _printed(code, **given) == [asleep]


@pytest.mark.medium
def test_no_team_sleeps_where_pytorch_is_imported_later() -> None:
    code = "import threading, clc, torch; print(threading.active_count())"
    assert _printed(code) == ["1"]


@pytest.mark.parametrize(("before", "after"), [("700", "50000"), ("90000", "90000"), ("0", "0")])
def test_garbage_is_looked_for_seldom_unless_the_program_does_so_less_often(before: str, after: str) -> None:
    code = f"import gc; gc.set_threshold({before}); import clc; print(gc.get_threshold()[0])"
    assert _printed(code) == [after]


PROGRAM = """
import atexit, sys, threading, time
from clc.runtime.exit import run_program
atexit.register(lambda: print("atexit"))
def main():
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
    {end}
run_program(main)
"""


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [("pass", 0, ""), ("sys.exit(2)", 2, ""), ("sys.exit('why')", 1, "why"), ("1 / 0", 1, "ZeroDivisionError")],
)
def test_a_program_leaves_with_its_exit_code_and_everything_said(end: str, code: int, told: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(end=end)], check=False, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.split() == ["thread", "atexit"]
    assert told in done.stderr
    assert "Traceback" not in done.stderr or end == "1 / 0"
