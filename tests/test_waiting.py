"""What a program sets up before PyTorch reads it."""

import subprocess
import sys

import pytest

from tests.pipelines.test_rebuild import clean_environment


@pytest.mark.parametrize("module", ["clc.cli", "pipelines", "clc.training"])
@pytest.mark.parametrize(("given", "policy"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_sleep_while_they_wait_unless_the_environment_says_otherwise(
    module: str, given: dict[str, str], policy: str
) -> None:
    code = f"import os, sys, {module}; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in clean_environment().items() if name != "OMP_WAIT_POLICY"} | given
    printed = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert printed.stdout.split() == ["False", policy]
