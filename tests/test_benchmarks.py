"""The benchmarks are listed where someone looks for them, at once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="an installed package has no benchmarks")


def test_help_names_every_benchmark_of_the_dictionary() -> None:
    command = [sys.executable, "-m", "benchmarks.dictionary", "--help"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"features", "scale", "scale_out", "components", "retrieval", "publish", "rebuild"} <= set(listed)


def test_listing_them_does_not_wait_for_pytorch() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "benchmarks.dictionary", "--help"]
    imported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert "importlib" in imported
    assert "torch" not in imported
