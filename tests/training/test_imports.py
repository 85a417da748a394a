"""A training machine needs no orchestration, search or download libraries."""

import subprocess
import sys


def test_training_imports_only_what_a_bare_gpu_machine_has() -> None:
    code = """
import sys, clc.training.train
foreign = {"prefect", "sklearn", "faiss", "httpx", "skimage", "typer"} & set(sys.modules)
sys.exit(", ".join(sorted(foreign)) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
