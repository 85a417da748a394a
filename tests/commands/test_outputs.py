"""`export`, `report --out` and `dictionary explore --out`: nothing of the user's is lost, as with `clc compress`."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clc.store import Store, Version
from tests.commands.conftest import Call, assert_refused
from tests.conftest import World
from tests.evaluation.test_report import published, rows

Write = Callable[..., tuple[int, str, str]]
"""Runs a command that writes to the path given, with more options: exit code, output, errors."""


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    return desk


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    monkeypatch.setenv("CLC_STORE", str(tmp_path / "store"))
    return published(Store(), rows(clc=0.8, JPEG=1.6))


@pytest.fixture(params=["export", "explore", "report"])
def command(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def write(command: str, clc: Call, results: Version, world: World) -> Write:
    def call(output: str, *options: object) -> tuple[int, str, str]:
        if command == "export":
            return clc("results", "export", results.short_id, output, *options)
        if command == "report":
            return clc("report", results.short_id, "--out", output, *options)
        return clc("dictionary", "explore", "latest", "--out", output, "--store", world.store.url, *options)

    return call


@pytest.fixture
def manifest(command: str, results: Version, world: World) -> Path:
    """A file of the store that the command reads."""
    return Path(world.dictionary.directory if command == "explore" else results.directory, "manifest.json")


@pytest.fixture
def explore(clc: Call, world: World) -> Write:
    shutil.copy(world.test_photos / "photo-100.png", "p.png")
    return lambda *options: clc("dictionary", "explore", "latest", "--store", world.store.url, *options)


class TestOutputs:
    def test_a_new_file_is_written(self, write: Write, desk: Path) -> None:
        code, out, _ = write("new")
        assert code == 0
        assert out.startswith("new: ")
        assert os.listdir(desk) == ["new"]

    def test_one_that_is_there_is_refused(self, write: Write) -> None:
        Path("there").write_text("old")
        assert_refused(write("there"), "there is there already; name another file", "--force")
        assert Path("there").read_text() == "old"

    def test_one_that_is_there_is_replaced_with_force(self, write: Write, desk: Path) -> None:
        Path("there").write_text("old")
        assert write("there", "--force")[0] == 0
        assert len(Path("there").read_bytes()) > 1000
        assert os.listdir(desk) == ["there"]

    def test_a_link_stays_and_its_file_is_replaced(self, write: Write) -> None:
        Path("there").write_text("old")
        Path("link").symlink_to("there")
        assert_refused(write("link"), "--force")
        assert write("link", "--force")[0] == 0
        assert Path("link").is_symlink()
        assert len(Path("there").read_bytes()) > 1000

    def test_a_fifo_is_written_into(self, write: Write) -> None:
        write("file")
        os.mkfifo("fifo")
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(Path("fifo").read_bytes()), daemon=True)
        reader.start()
        assert write("fifo")[0] == 0
        reader.join(timeout=10)
        assert received == [Path("file").read_bytes()]
        assert Path("fifo").is_fifo()

    def test_a_full_device_is_one_line(self, write: Write) -> None:
        assert_refused(write("/dev/full"), "/dev/full: cannot be written: No space left on device")

    def test_a_folder_is_refused(self, write: Write) -> None:
        assert_refused(write(".", "--force"), "it is a folder")

    def test_a_file_of_the_store_is_refused_even_with_force(self, write: Write, manifest: Path) -> None:
        Path("link").symlink_to(manifest)
        before = manifest.read_bytes()
        for name in (manifest, "link"):
            assert_refused(write(str(name), "--force"), "whose files are never replaced")
        assert manifest.read_bytes() == before


class TestExport:
    def test_what_is_refused_is_refused_before_anything_is_read(self, clc: Call, results: Version) -> None:
        for file in Path(results.directory).glob("*.parquet"):
            file.write_bytes(b"damaged")
        Path("there").write_text("old")
        assert_refused(clc("results", "export", results.short_id, "there"), "is there already")

    def test_a_damaged_version_leaves_the_file_that_is_there(self, clc: Call, results: Version, desk: Path) -> None:
        for file in Path(results.directory).glob("*.parquet"):
            file.write_bytes(bytes(file.stat().st_size))
        Path("there").write_text("old")
        assert_refused(clc("results", "export", results.short_id, "there", "--force"), "does not have the SHA-256")
        assert os.listdir(desk) == ["there"]
        assert Path("there").read_text() == "old"

    def test_no_folder_is_made_for_it(self, clc: Call, results: Version) -> None:
        assert_refused(clc("results", "export", results.short_id, "no/file"), "no is not a folder")


class TestReport:
    def test_a_page_at_its_default_name_replaces_the_one_before(self, clc: Call, results: Version) -> None:
        page = Path("reports", f"{results.short_id}.html")
        page.parent.mkdir()
        page.write_text("old")
        assert clc("report", results.short_id)[0] == 0
        assert len(page.read_bytes()) > 1000

    def test_the_folder_of_a_page_is_made(self, clc: Call, results: Version) -> None:
        assert clc("report", results.short_id, "--out", "new/folder/page.html")[0] == 0
        assert Path("new/folder/page.html").is_file()


class TestExplore:
    def test_a_page_at_its_default_name_replaces_the_one_before(self, explore: Write, world: World) -> None:
        page = Path("reports", f"dictionary-{world.dictionary.short_id}.html")
        page.parent.mkdir()
        page.write_text("old")
        assert explore()[0] == 0
        assert len(page.read_bytes()) > 1000

    @pytest.mark.parametrize("output", ["p.png", "./p.png", "symbolic", "hard"])
    def test_a_query_is_never_the_output(self, explore: Write, output: str) -> None:
        Path("symbolic").symlink_to("p.png")
        Path("hard").hardlink_to("p.png")
        before = Path("p.png").read_bytes()
        assert_refused(explore("--query", "p.png", "--out", output, "--force"), "is the input too")
        assert Path("p.png").read_bytes() == before

    def test_the_weights_of_the_backbone_are_never_the_output(self, explore: Write) -> None:
        Path("weights.pth").write_text("old")
        options = ("--backbone", "file:weights.pth", "--query", "p.png", "--out", "weights.pth", "--force")
        assert_refused(explore(*options), "is the input too")
        assert Path("weights.pth").read_text() == "old"

    def test_an_output_is_refused_before_a_query_is_read(self, explore: Write) -> None:
        Path("there").write_text("old")
        assert_refused(explore("--query", "none.png", "--out", "there"), "is there already")
