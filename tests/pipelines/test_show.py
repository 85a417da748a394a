"""What runs leave on Prefect's pages, as far as that needs no server."""

import doctest
from pathlib import Path

import pytest

from clc.store import Store
from pipelines import show
from pipelines.status import lines


def test_the_examples_hold() -> None:
    assert doctest.testmod(show).failed == 0


def test_the_status_of_an_empty_store_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    found = dict(lines(None, Store(tmp_path).url))
    assert found["in production"] == "nothing"
    assert found["last refusal"] == "none"
    assert "PREFECT_API_URL" in found["next run"]
