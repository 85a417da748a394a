"""`clc experiment`, run as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from clc.store import Kind, Store
from tests.pipelines.test_rebuild import clean_environment

pytestmark = pytest.mark.slow


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clc", "experiment", *arguments],
        cwd=folder,
        env=clean_environment() | environment,
        check=False,
        capture_output=True,
        text=True,
    )


def test_an_experiment_leaves_its_table_under_an_alias_and_does_nothing_twice(tmp_path: Path) -> None:
    first = run(tmp_path, "figure2c")
    assert first.returncode == 0, first.stderr
    results = Store(tmp_path / "artifacts").aliases.resolve(Kind.RESULTS, "figure2c-bundled")
    assert f"{results}: `clc report {results.short_id}`" in first.stdout
    assert "| references |" in first.stdout
    again = run(tmp_path, "figure2c")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "published" not in again.stderr


def test_an_experiment_without_its_server_ends_in_one_line(tmp_path: Path) -> None:
    refused = run(tmp_path, "figure2c", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    [line] = [line for line in refused.stderr.splitlines() if line.startswith("clc: ")]
    assert "the Prefect server at http://127.0.0.1:9/api does not answer" in line
