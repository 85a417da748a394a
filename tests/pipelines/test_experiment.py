"""`clc experiment`, run as a user runs it."""

from pathlib import Path

import pytest

from clc.store import Kind, Store
from clc.store.shipped import LayeredStore
from tests.processes import our_line, run_module

pytestmark = pytest.mark.slow


def test_an_experiment_leaves_its_table_under_an_alias_and_does_nothing_twice(tmp_path: Path) -> None:
    store = LayeredStore(tmp_path / "artifacts")
    store.aliases.set(Kind.MODEL, "production", store.get(Kind.MODEL, "tiny"))  # quicker than the default
    first = run_module(tmp_path, "clc", "experiment", "figure2c")
    assert first.returncode == 0, first.stderr
    results = Store(tmp_path / "artifacts").aliases.resolve(Kind.RESULTS, "figure2c-bundled")
    assert f"{results}: `clc report {results.short_id}`" in first.stdout
    assert "| references |" in first.stdout
    again = run_module(tmp_path, "clc", "experiment", "figure2c")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "published" not in again.stderr


def test_an_experiment_without_its_server_ends_in_one_line(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/api"
    refused = run_module(tmp_path, "clc", "experiment", "figure2c", PREFECT_API_URL=url)
    assert f"the Prefect server at {url} does not answer" in our_line(refused)
