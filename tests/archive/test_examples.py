"""The examples in the docstrings of `clc.archive` run as written."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
from PIL import Image

import clc.archive
from clc.archive.coding import StoreCoder
from clc.archive.creation import create_archive
from clc.archive.inputs import find_inputs
from clc.codec.decisions.targets import Target
from tests.archive.samples import write_photos

MODULES = [f"clc.archive.{module.name}" for module in pkgutil.iter_modules(clc.archive.__path__)]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """album.clca with the photo a.png, 64×48."""
    folder = write_photos(tmp_path_factory.mktemp("examples"), [])
    Image.new("RGB", (64, 48), "olive").save(folder / "a.png")
    create_archive(folder / "album.clca", find_inputs([str(folder)]), StoreCoder("default", Target.choose(50)))
    return folder


@pytest.mark.parametrize("name", [*MODULES, "clc.commands.pack"])
def test_examples_run_as_written(name: str, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    assert doctest.testmod(importlib.import_module(name)).failed == 0
