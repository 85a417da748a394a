"""A training machine needs no orchestration, search or download libraries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import World

FOREIGN = ("prefect", "sklearn", "faiss", "httpx", "skimage")
PROFILE = """
name = "bare"
[training]
steps = 1
batch = 1
crop = 64
held_out = 0
unconditioned_share = 0.0
"""


@pytest.mark.medium
def test_training_imports_only_what_a_bare_gpu_machine_has() -> None:
    code = f"""
import sys, clc.training.train
foreign = {{*{FOREIGN}, "typer"}} & set(sys.modules)
sys.exit(", ".join(sorted(foreign)) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_the_command_trains_with_given_assignments_where_nothing_else_is_installed(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "bare.toml").write_text(PROFILE)
    arguments = ["clc", "train", "--profile", str(tmp_path / "bare.toml"), "--data", f"folder:{world.photos}"]
    arguments += ["--assignments", world.assignments.id, "--dictionary", world.dictionary.id, "--alias", "bare"]
    arguments += ["--store", world.store.url, "--runs", str(tmp_path / "runs")]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({FOREIGN}))  # as if none of them were there
sys.argv = {arguments}
from clc.cli import program
program()
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert "alias bare points at it" in result.stdout
