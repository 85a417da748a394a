"""What a process has not loaded when it is done: people wait for what it loads."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import picture
from tests.processes import clean_environment

BUILDING = {"sklearn", "skimage", "faiss", "prefect", "sqlalchemy", "httpx", "distributed", "joblib"}
"""What building, training, measuring and orchestrating take."""
COMPRESSAI = {"compressai", "torchvision", "pandas", "scipy", "matplotlib", "requests", "jinja2", "pytorch_msssim"}
"""It and what it brings along: longer to load than PyTorch."""
CODING = {"torch", "constriction"}
READING = {"numpy", "pyarrow", "pydantic", "fsspec", "PIL", "safetensors", "typer", "rich"}

PROGRAM = """
import atexit, sys
atexit.register(lambda: print("loaded", *sys.modules, file=sys.stderr))
from clc.cli import program
program()
"""


def loaded(code: str, *arguments: str, folder: Path) -> set[str]:
    """The modules that a fresh process has loaded when it ends."""
    environment = clean_environment() | {"CLC_STORE": str(folder / "store")}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *names = done.stderr.splitlines()[-1].split()
    assert first == "loaded"
    return set(names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With photo.png and photo.clc."""
    folder = tmp_path_factory.mktemp("starting")
    Image.fromarray(picture(0)[:64, :64]).save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def by_compress(folder: Path) -> set[str]:
    return loaded(PROGRAM, "compress", "--no-references", "photo.png", folder=folder)


@pytest.fixture(scope="module")
def by_decompress(folder: Path, by_compress: set[str]) -> set[str]:
    return loaded(PROGRAM, "decompress", "photo.clc", "decoded.png", folder=folder)


def test_import_clc_loads_no_library(tmp_path: Path) -> None:
    names = loaded("import sys, clc; print('loaded', *sys.modules, file=sys.stderr)", folder=tmp_path)
    assert "clc" in names
    assert names & (BUILDING | COMPRESSAI | CODING | READING) == set()


def test_help_loads_nothing_that_works(tmp_path: Path) -> None:
    names = loaded(PROGRAM, "--help", folder=tmp_path)
    assert "clc.cli" in names
    assert names & (BUILDING | COMPRESSAI | CODING) == set()


@pytest.mark.medium
def test_info_loads_nothing_that_codes(folder: Path, by_compress: set[str]) -> None:
    names = loaded(PROGRAM, "info", "photo.clc", folder=folder)
    assert "clc.codec.bitstream" in names
    assert names & (BUILDING | COMPRESSAI | CODING | {"rich"}) == set()


@pytest.mark.medium
def test_plain_coding_loads_nothing_that_builds_searches_or_downloads(
    by_compress: set[str], by_decompress: set[str]
) -> None:
    assert by_compress & by_decompress >= CODING
    assert (by_compress | by_decompress) & (BUILDING | COMPRESSAI | {"rich"}) == set()
    assert not [name for name in by_compress | by_decompress if name.startswith(("clc.dictionary", "clc.training"))]
