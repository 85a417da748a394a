"""What a program sets up before PyTorch reads it."""

import subprocess
import sys

import pytest

from tests.pipelines.test_rebuild import clean_environment


def _printed(code: str, **given: str) -> list[str]:
    unset = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in clean_environment().items() if name not in unset} | given
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("module", ["clc.cli", "pipelines", "clc.training"])
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_threads_spin_shortly_unless_the_environment_says_otherwise(
    module: str, given: dict[str, str], spins: str
) -> None:
    code = f"import os, sys, {module}; print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    assert _printed(code, **given) == ["False", spins]
