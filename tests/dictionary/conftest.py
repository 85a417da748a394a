"""A store with the stages before the dictionary."""

from pathlib import Path

import pytest

from clc.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
