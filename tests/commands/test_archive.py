"""`clc pack`, `add`, `list`, `unpack`, `verify` and `info` of an archive, and `clc.open`, with the shipped model."""

import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

import clc
from clc.archive import packer
from clc.errors import ArchiveError, MissingArtifactError
from clc.runtime.remarks import STRICT_VARIABLE
from tests.archive.golden_file import PATH as GOLDEN
from tests.commands.conftest import Call, assert_refused
from tests.conftest import picture

ROOT = Path(__file__).parents[2]
TINY = ("--model", "tiny")  # quicker than the default
PHOTOS = ("p0.png", "p1.png", "sub/p2.png")


@pytest.fixture
def run(clc: Call) -> Call:
    """`clc` is the package here."""
    return clc


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with a folder of three photos; a store with nothing in it but what comes with CLC."""
    monkeypatch.setenv("CLC_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Path("tree/sub").mkdir(parents=True)
    for seed, name in enumerate(PHOTOS):
        Image.fromarray(picture(seed, 64, 80)).save(Path("tree", name))


_packed: dict[tuple[object, ...], bytes] = {}


def packed(run: Call, *options: object) -> str:
    """An archive of the three photos, which are packed once for all tests."""
    if options not in _packed:
        assert run("pack", "tree", "-o", "a.clca", *TINY, *options)[0] == 0
        _packed[options] = Path("a.clca").read_bytes()
    Path("a.clca").write_bytes(_packed[options])
    return "a.clca"


@pytest.mark.medium
def test_a_folder_goes_into_an_archive_and_back(run: Call) -> None:
    code, out, err = run("pack", "tree", "-o", "a.clca", "--quality", 60)
    assert (code, err) == (0, "")
    assert out.startswith(f"a.clca: 3 photos, {Path('a.clca').stat().st_size:,} bytes, ")
    assert run("unpack", "a.clca") == (0, "a: 3 photos\n", "")
    for name in PHOTOS:
        photo, back = (np.asarray(Image.open(Path(folder, name)), dtype=float) for folder in ("tree", "a"))
        assert np.sqrt(np.square(photo - back).mean()) < 12


@pytest.mark.medium
def test_a_photo_costs_what_compress_makes_of_it(run: Call) -> None:
    packed(run, "--quality", 35)
    assert run("compress", "tree/p1.png", "p1.clc", *TINY, "--no-references", "--quality", 35)[0] == 0
    with clc.open("a.clca") as album:
        assert album.archive.streams("p1.png") == (Path("p1.clc").read_bytes(), [])
        streams = sum(album.info(name)[1].extent.length for name in album)
    assert Path("a.clca").stat().st_size - streams < 400 + 150 * len(PHOTOS)


@pytest.mark.medium
def test_a_psnr_holds_for_every_photo(run: Call) -> None:
    packed(run, "--psnr", 28)
    with clc.open("a.clca") as album:
        for name in PHOTOS:
            error = np.asarray(album[name], dtype=float) - np.asarray(Image.open(Path("tree", name)))
            assert 10 * np.log10(255**2 / np.square(error).mean()) == pytest.approx(28, rel=0.02)


@pytest.mark.medium
def test_a_size_is_that_of_the_whole_archive(run: Call) -> None:
    packed(run, "--size", "6kB")
    assert 4500 < Path("a.clca").stat().st_size <= 6000
    assert_refused(run("pack", "tree", "-o", "b.clca", *TINY, "--size", "700"), "give a larger --size")
    assert_refused(run("pack", "tree", "-o", "b.clca", "--size", "much"), "is no size")
    assert_refused(run("pack", "tree", "-o", "b.clca", "--size", "4kB", "--quality", 4), "contradicts")
    assert not Path("b.clca").exists()


def test_a_dry_run_says_what_would_be_done(run: Call) -> None:
    Image.open("tree/p1.png").save("tree/q.webp", lossless=True)
    code, out, _ = run("pack", "tree", "-o", "a.clca", *TINY, "--dry-run")
    assert code == 0
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert ["p0.png", "alone"] in lines
    assert ["q.webp", "same picture as p1.png"] in lines
    assert re.fullmatch(r"4 photos, 3 to code, about [\d,]+ bytes; nothing is written", out.splitlines()[-1])
    assert sorted(os.listdir()) == ["tree"]


def test_fewer_photos_at_once_make_the_same_archive(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(run)
    usual = Path("a.clca").read_bytes()
    at_once: list[int] = []
    whole = packer.in_parallel

    def counted(*arguments: object, threads: int, **others: object) -> object:
        at_once.append(threads)
        return whole(*arguments, threads=threads, **others)

    monkeypatch.setattr(packer, "in_parallel", counted)
    assert run("pack", "tree", "-o", "a.clca", *TINY, "--jobs", "1", "--force")[0] == 0
    assert set(at_once) == {1}
    assert Path("a.clca").read_bytes() == usual


def test_an_effort_out_of_range_is_refused(run: Call) -> None:
    code, _, err = run("pack", "tree", "-o", "a.clca", "--effort", "11", *TINY)
    assert (code, "0 to 9" in err) == (2, True)


def test_strict_packs_nothing_where_a_file_would_be_left_out(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT_VARIABLE, "0")  # the option sets it for the process
    Path("tree/notes.txt").write_text("no photo")
    code, _, err = run("pack", "tree", "-o", "a.clca", "--strict", *TINY)
    assert code == 2
    assert "notes.txt" in err
    assert not Path("a.clca").exists()
    monkeypatch.setenv(STRICT_VARIABLE, "0")
    assert run("pack", "tree", "-o", "a.clca", *TINY)[0] == 0


def test_what_cannot_be_packed_is_named_and_counted(run: Call) -> None:
    Path("tree/bad.jpg").write_bytes(b"no photo")
    Path("tree/film.mov").touch()
    code, out, err = run("pack", "tree", "-o", "a.clca", *TINY)
    assert code == 1
    assert "3 photos" in out
    assert "1 not packed" in out
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        "bad.jpg",
        "film.mov",
    ]
    assert run("verify", "a.clca")[0] == 0


def test_an_archive_that_is_there_is_refused_without_force(run: Call) -> None:
    Path("a.clca").write_text("old")
    assert_refused(run("pack", "tree", "-o", "a.clca"), "a.clca is there already", "--force")
    assert Path("a.clca").read_text() == "old"
    packed(run, "--force")


@pytest.mark.medium
def test_photos_are_added(run: Call) -> None:
    packed(run)
    Image.fromarray(picture(7, 64, 80)).save("tree/p7.png")
    code, out, _ = run("add", "a.clca", "tree", *TINY)
    assert (code, "1 photos" in out, "3 in it already" in out) == (0, True, True)
    assert run("verify", "a.clca", "--decode") == (
        0,
        "a.clca is whole: 4 photos, every hash as recorded, every photo decoded\n",
        "",
    )
    assert_refused(run("add", "none.clca", "tree"), "none.clca")
    assert_refused(run("add", "tree/p1.png", "tree"), "would be lost")


def test_photos_are_listed(run: Call) -> None:
    packed(run, "--quality", 60)
    code, out, _ = run("list", "a.clca")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [[name, "80x64", "60"] for name in PHOTOS]
    listed = json.loads(run("list", "a.clca", "--json")[1])
    assert [each["name"] for each in listed] == list(PHOTOS)
    assert listed[0]["original_bytes"] == Path("tree/p0.png").stat().st_size


@pytest.mark.medium
def test_a_page_shows_what_was_packed_beside_jpeg_and_avif(run: Call) -> None:
    Path("tree/bad.jpg").write_bytes(b"no photo")
    code, out, err = run("pack", "tree", "-o", "a.clca", "--report", "pages/a.html")
    assert (code, out.splitlines()[0]) == (1, "pages/a.html: report of a.clca")
    assert len(err.splitlines()) == 1
    page = Path("pages/a.html").read_text()
    assert (page.count("<img"), page.count("<dt>AVIF</dt>"), page.count("<b>bad.jpg</b>")) == (len(PHOTOS), 3, 1)


@pytest.mark.medium
def test_a_page_shows_an_archive_that_is_there(run: Call) -> None:
    packed(run)
    assert run("list", "a.clca", "--report", "a.html") == (0, "a.html: report of a.clca\n", "")
    page = Path("a.html").read_text()
    assert (page.count("<img"), page.count("<dt>AVIF</dt>")) == (len(PHOTOS), 0)
    assert_refused(run("list", "a.clca", "--report", "a.html"), "a.html is there already", "--force")
    assert run("list", "a.clca", "--report", "a.html", "--force")[0] == 0
    assert Path("a.html").read_text() == page
    assert_refused(run("list", "a.clca", "--report", "a.clca", "--force"), "is the archive")
    assert_refused(run("list", "a.clca", "--report", "b.html", "--json"), "give one of them")


def test_a_page_that_may_not_be_written_is_refused_before_the_work(run: Call) -> None:
    Path("a.html").write_text("mine")
    assert_refused(run("pack", "tree", "-o", "a.clca", "--report", "a.html"), "a.html is there already", "--force")
    assert_refused(run("pack", "tree", "-o", "a.clca", "--report", "tree/p0.png", "--force"), "would be lost")
    assert_refused(run("pack", "tree", "-o", "a.clca", "--report", "a.clca"), "is the archive")
    assert_refused(run("pack", "tree", "-o", "-", "--report", "b.html"), "an archive in a file")
    assert_refused(run("pack", "tree", "-o", "a.clca", "--dry-run", "--report", "b.html"), "without --dry-run")
    assert sorted(os.listdir()) == ["a.html", "tree"]
    assert Path("a.html").read_text() == "mine"


def test_who_lacks_what_makes_the_page_is_told_before_the_work(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "clc.archive.album_page", raising=False)
    monkeypatch.delattr("clc.archive.album_page", raising=False)
    assert_refused(run("pack", "tree", "-o", "a.clca", "--report", "a.html"), "jinja2: pip install 'clc[build]'")
    assert os.listdir() == ["tree"]


def test_originals_are_kept_listed_and_given_back(run: Call) -> None:
    pytest.importorskip("imagecodecs")
    Image.open("tree/p0.png").save("tree/j.jpg", quality=95)
    Image.new("RGB", (64, 64), "navy").save("tree/plain.png")
    assert run("pack", "tree", "-o", "a.clca", *TINY, "--keep-originals")[0] == 0
    rows = {line.split()[0]: line.split()[-1] for line in run("list", "a.clca")[1].splitlines()}
    assert rows["j.jpg"] == rows["p1.png"] == "original"
    found = json.loads(run("info", "a.clca")[1])["bytes"]
    assert found["kept_originals"] > 3000
    assert run("verify", "a.clca", "--decode")[0] == 0
    assert run("unpack", "a.clca", "--originals", "-O", "out")[:2] == (0, "out: 5 photos\n")
    for name in (*PHOTOS, "j.jpg", "plain.png"):
        assert Path("out", name).read_bytes() == Path("tree", name).read_bytes()
    assert_refused(run("unpack", "a.clca", "--originals", "--format", "jpeg"), "leave out --format")


def test_originals_need_a_library_which_is_named(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(run)
    before = Path("a.clca").read_bytes()
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for arguments in (("pack", "tree", "-o", "b.clca"), ("add", "a.clca", "tree/p0.png")):
        assert_refused(run(*arguments, *TINY, "--keep-originals"), "pip install 'clc[originals]'")
    assert Path("a.clca").read_bytes() == before
    assert sorted(os.listdir()) == ["a.clca", "tree"]
    refused = run("pack", "tree", "-o", "b.clca", *TINY, "--keep-originals", "--size", "9kB")
    assert_refused(refused, "leave out one of them")
    code, _, err = run("unpack", "a.clca", "--originals")
    assert (code, err.count("its original is not kept")) == (1, 3)


def test_what_comes_back_as_it_was_is_flagged(run: Call) -> None:
    Image.new("RGB", (64, 64), "navy").save("tree/plain.png")
    assert run("pack", "tree", "-o", "a.clca", *TINY)[0] == 0
    rows = {line.split()[0]: line.split()[-1] for line in run("list", "a.clca")[1].splitlines()}
    assert rows["plain.png"] == "lossless"
    assert rows["p1.png"] != "lossless"


def test_info_says_where_the_bytes_are(run: Call) -> None:
    packed(run)
    code, out, _ = run("info", "a.clca")
    found = json.loads(out)
    assert (code, found["photos"], found["bytes"]["total"]) == (0, 3, Path("a.clca").stat().st_size)
    parts = {key: value for key, value in found["bytes"].items() if key != "total"}
    assert sum(parts.values()) == found["bytes"]["total"]


def test_names_and_formats(run: Call) -> None:
    packed(run)
    assert run("unpack", "a.clca", "sub/*", "p0.png", "-O", "out", "--format", "jpeg", "--quality", 40)[0] == 0
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == ["out/p0.jpg", "out/sub/p2.jpg"]
    assert_refused(run("unpack", "a.clca", "none*"), "no such photo")
    assert_refused(run("unpack", "a.clca", "--quality", 40), "png is lossless")
    code, out, err = run("unpack", "a.clca", "-o", "out", "--format", "jpeg")
    assert (code, out) == (1, "out: 1 photos, 2 not unpacked\n")
    assert err.count("there already") == 2


def test_damage_is_found_named_and_salvaged(run: Call) -> None:
    packed(run)
    with clc.open("a.clca") as album:
        at = album.info("p1.png")[1].extent.at
    data = bytearray(Path("a.clca").read_bytes())
    data[at + 60] ^= 1
    Path("a.clca").write_bytes(data)
    code, out, _ = run("verify", "a.clca")
    assert code == 1
    assert out.startswith("p1.png: ")
    code, out, err = run("unpack", "a.clca")
    assert (code, out, "p1.png is damaged" in err) == (1, "a: 2 photos, 1 not unpacked\n", True)
    Path("cut.clca").write_bytes(data[:-70])
    assert run("verify", "cut.clca")[0] == 1
    assert_refused(run("unpack", "cut.clca"), "--salvage")
    code, out, err = run("unpack", "cut.clca", "--salvage", "-O", "saved")
    assert (code, out, "p1.png: lost" in err) == (1, "saved: 2 photos, 1 not unpacked\n", True)


@pytest.mark.medium
def test_an_archive_goes_through_pipes() -> None:
    command = [sys.executable, "-m", "clc", "pack", "-", "-o", "-", *TINY, "--quality", "20"]
    result = subprocess.run(command, input=b"tree/p0.png\ntree/p1.png\n", capture_output=True, check=True)
    assert result.stderr.startswith(b"-: 2 photos, ")
    with clc.open(io.BytesIO(result.stdout)) as album:
        assert list(album) == ["p0.png", "p1.png"]


class TestFromPython:
    def test_an_album_is_a_mapping(self, run: Call) -> None:
        with clc.open(packed(run)) as album:
            assert (len(album), sorted(album), "p1.png" in album) == (3, sorted(PHOTOS), True)
            assert album["p1.png"].size == (80, 64)
            assert album.pixels("sub/p2.png").shape == (64, 80, 3)
            with pytest.raises(KeyError):
                album["none"]
        with pytest.raises(ArchiveError, match="does not begin as one"):
            clc.open("tree/p0.png")

    def test_a_model_that_is_not_here_is_named(self) -> None:
        with clc.open(GOLDEN) as album, pytest.raises(MissingArtifactError, match="0123456789abcdef"):
            album["a.jpg"]

    def test_it_is_a_file_system(self, run: Call) -> None:
        from clc.archive.filesystem import ArchiveFileSystem

        files = ArchiveFileSystem(packed(run))
        assert sorted(files.find("")) == ["p0.png", "p1.png", "sub/p2.png"]
        assert files.ls("sub", detail=False) == ["sub/p2.png"]
        assert files.isdir("sub")
        with files.open("sub/p2.png") as file:
            shown = Image.open(file)
            assert (shown.format, shown.size) == ("PNG", (80, 64))
        files.get("p0.png", "copy.png")
        with clc.open("a.clca") as album:
            assert np.array_equal(np.asarray(Image.open("copy.png")), album.pixels("p0.png"))
        with pytest.raises(FileNotFoundError):
            files.open("none.png")
        with pytest.raises(OSError, match="only read"):
            files.open("p0.png", "wb")

    def test_the_file_system_is_registered_by_its_name(self, run: Call) -> None:
        import tomllib

        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        value = project["entry-points"]["fsspec.specs"]["clca"]
        module, _, name = value.rpartition(".")  # fsspec's own form
        found = EntryPoint("clca", f"{module}:{name}", "fsspec.specs").load()
        fsspec.register_implementation("clca", value, clobber=True)
        assert isinstance(fsspec.filesystem("clca", fo=packed(run)), found)
        with fsspec.open("clca://sub/p2.png::a.clca") as file:
            assert Image.open(file).size == (80, 64)
