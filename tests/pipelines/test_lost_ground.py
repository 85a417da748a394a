"""What a run stands on gives way: a disk that is full or read-only, lost photos. It says so, and the store is whole."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clc.store import Kind, Store, verify_store
from tests.processes import PROFILE, clean_environment, our_line, small_photos

pytestmark = pytest.mark.slow

_ROOM = "2300k"  # for the patches of four photos, and not for all that is made from them


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("a full disk needs a file system to fill, and mounting one needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "clc-test", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a full disk needs a file system to fill: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a profile and photos of its own."""
    (tmp_path / "profile.toml").write_text(PROFILE.format(**small_photos(tmp_path, number=4)))
    return tmp_path


def started(folder: Path, store: Path, home: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "clc", "pipeline", "run", "--profile", "profile.toml", "--store", str(store)]
    environment = clean_environment() | {"PREFECT_HOME": home}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], said: str) -> None:
    """Until a run has said so, or has ended."""
    assert process.stderr is not None
    next((line for line in process.stderr if said in line), None)


def last_words(process: subprocess.Popen[str]) -> str:
    """What a run that fails says for itself."""
    _, log = process.communicate()
    return our_line(subprocess.CompletedProcess(process.args, process.returncode, stderr=log))


def test_a_full_disk_ends_the_run_in_one_line(folder: Path, small_disk: Path, prefect_home: str) -> None:
    line = last_words(started(folder, small_disk / "store", prefect_home))
    assert "No space left on device" in line
    store = Store(small_disk / "store")
    assert store.versions(Kind.PATCHES)
    assert not store.versions(Kind.MODEL)
    assert verify_store(store) == []
    assert not list(small_disk.rglob(".tmp-*"))


def test_a_store_that_is_read_only_ends_the_run_in_one_line(folder: Path, small_disk: Path, prefect_home: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    process = started(folder, small_disk / "store", prefect_home)
    assert "Read-only file system" in last_words(process)
    assert not list(small_disk.iterdir())


def test_a_store_that_vanishes_ends_the_run_in_one_line(folder: Path, prefect_home: str) -> None:
    process = started(folder, folder / "store", prefect_home)
    wait_for(process, "stage=features published")
    (folder / "store").rename(folder / "elsewhere")  # as a file system that is not mounted any more
    line = last_words(process)
    assert str(folder / "store") in line
    assert verify_store(Store(folder / "elsewhere")) == []


def test_photos_that_vanish_end_the_run_in_one_line(folder: Path, prefect_home: str) -> None:
    process = started(folder, folder / "store", prefect_home)
    wait_for(process, "stage=crop published")
    shutil.rmtree(folder / "reference")
    line = last_words(process)
    assert str(folder / "reference") in line
    store = Store(folder / "store")
    assert store.versions(Kind.PATCHES)
    assert not store.versions(Kind.MODEL)
    assert verify_store(store) == []
