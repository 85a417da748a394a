"""`clc compress` and `clc decompress` over many files: side by side, in order, summed up."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from clc.api import StoreCodec
from clc.codec.bitstream import Bitstream
from clc.images import read_image
from clc.images.psnr import psnr
from tests.commands.conftest import Call, assert_refused
from tests.conftest import World
from tests.images.photo_files import encoded, exif, smooth

PLAIN = ("--no-references", "--quality", 20)
NAMES = [f"photo-{number}" for number in range(5)]


@pytest.fixture(autouse=True)
def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder `in` of five photos, two of them in a folder of it; one has no suffix."""
    monkeypatch.setenv("CLC_STORE", world.store.url)
    monkeypatch.chdir(tmp_path)
    Path("in/inner").mkdir(parents=True)
    whole = Image.open(world.test_photos / "photo-100.png")
    for number, name in enumerate(NAMES):
        path = Path("in" if number < 3 else "in/inner") / f"{name}.png"
        whole.crop((10 * number, 0, 10 * number + 80, 64)).save(path)
        os.utime(path, ns=(0, 10**18 + number))
    Path("in/photo-0.png").rename("in/photo-0")
    return tmp_path


def streams(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*.clc"))}


def test_a_folder_stands_for_the_photos_in_it_whose_streams_lie_as_they_do(clc: Call) -> None:
    code, out, err = clc("compress", "in", "-O", "out", *PLAIN)
    assert (code, err) == (0, "")
    assert list(streams("out")) == [
        *(f"inner/{name}.clc" for name in NAMES[3:]),
        *(f"{name}.clc" for name in NAMES[:3]),
    ]
    assert [line.split(":")[0] for line in out.splitlines()[:-1]] == [f"out/{name}" for name in streams("out")]
    assert clc("decompress", "out", "-O", "back")[0] == 0
    assert sorted(path.name for path in Path("back").rglob("*.png")) == [f"{name}.png" for name in NAMES]


def test_beside_their_photos_streams_lie_without_an_output_folder(clc: Call) -> None:
    assert clc("compress", "in", *PLAIN)[0] == 0
    assert len(streams("in/inner")) == 2
    assert len(streams("in")) == 5


def test_photos_that_differ_in_the_suffix_alone_go_to_streams_and_back(clc: Call) -> None:
    shutil.copy("in/photo-1.png", "in/photo-2.tif")
    code, _, err = clc("compress", "in", "-O", "out", *PLAIN)
    assert code == 0
    kept = "its output keeps its whole name, as another would have the same: 2 files (in/photo-2.png, in/photo-2.tif)"
    assert err == f"clc: {kept}\n"
    assert {"photo-1.clc", "photo-2.png.clc", "photo-2.tif.clc"} < streams("out").keys()
    assert clc("decompress", "out", "-O", "back")[::2] == (0, "")
    back = {name: Image.open(f"back/{name}.png").width for name in ("photo-2.png", "photo-2.tif")}
    assert back == {"photo-2.png": 80, "photo-2.tif": 80}


def test_what_is_left_out_of_a_folder_is_counted_by_reason(clc: Call) -> None:
    for name in ("a.txt", "b.txt", "raw.nef"):
        Path("in", name).write_text("?")
    code, _, err = clc("compress", "in", "-O", "out", *PLAIN)
    assert code == 0
    assert err.splitlines() == [
        "clc: left out, not a photo: 2 files (a.txt, b.txt)",
        "clc: raw.nef: left out, a camera's raw file; develop it to TIFF or JPEG first",
    ]


def test_strict_makes_the_first_that_would_be_left_out_an_error(clc: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLC_STRICT", "0")  # what the option sets is undone with it
    Path("in/a.txt").write_text("?")
    assert_refused(clc("compress", "in", "-O", "out", "--strict", *PLAIN), "a.txt cannot be used")
    assert not Path("out").exists()


@pytest.mark.medium
def test_streams_and_pictures_do_not_depend_on_how_many_are_coded_at_once(clc: Call) -> None:
    made = []
    for jobs in (1, 3):
        assert clc("compress", "in", "-O", f"out{jobs}", "--jobs", jobs, *PLAIN)[0] == 0
        assert clc("decompress", f"out{jobs}", "-O", f"back{jobs}", "--jobs", jobs)[0] == 0
        pictures = {path.name: path.read_bytes() for path in Path(f"back{jobs}").rglob("*.png")}
        made.append((streams(f"out{jobs}"), pictures))
    assert made[0] == made[1]
    assert len(set(made[0][0].values())) == 5


def test_files_keep_their_times(clc: Call) -> None:
    clc("compress", "in", "-O", "out", *PLAIN)
    clc("decompress", "out", "-O", "back")
    clc("compress", "in/photo-1.png", "one.clc", *PLAIN)
    for path in (*Path("out").rglob("*.clc"), *Path("back").rglob("*.png")):
        assert path.stat().st_mtime_ns == 10**18 + NAMES.index(path.stem)
    assert Path("one.clc").stat().st_mtime_ns == 10**18 + 1


def test_the_last_line_sums_up(clc: Call) -> None:
    before = sum(path.stat().st_size for path in Path("in").rglob("photo*"))
    out = clc("compress", "in", "-O", "out", *PLAIN)[1]
    after = sum(map(len, streams("out").values()))
    share = f"{100 * after / before:.1f}"
    assert re.fullmatch(
        rf"5 of 5 files, {before:,} bytes became {after:,} \({share} %\), \d+\.\d s", out.splitlines()[-1]
    )


@pytest.mark.usefixtures("network_only")
def test_the_psnr_is_measured_if_asked_for(clc: Call) -> None:
    out = clc("compress", "in/photo-1.png", "in/photo-2.png", "-O", "out", "--measure", *PLAIN)[1]
    clc("decompress", "out", "-O", "back")
    found = [psnr(read_image(f"in/photo-{n}.png"), read_image(f"back/photo-{n}.png")) for n in (1, 2)]
    lines = out.splitlines()
    assert [f", {value:.2f} dB, " in line for value, line in zip(found, lines[:2], strict=True)] == [True, True]
    assert f"mean PSNR {sum(found) / 2:.2f} dB" in lines[-1]


def test_what_comes_back_whole_is_counted_apart(clc: Call) -> None:
    for name in ("x.png", "y.png"):
        Image.new("RGB", (64, 64), "navy").save(name)
    out = clc("compress", "x.png", "y.png", "--measure", *PLAIN)[1].splitlines()
    assert "without loss" in out[0]
    assert "2 without loss" in out[-1]
    assert "mean PSNR" not in out[-1]


def test_quiet_prints_what_went_wrong_or_was_lost_alone(clc: Call) -> None:
    Path("in/bad.png").write_text("?")
    Image.new("RGBA", (40, 30), (1, 2, 3, 4)).save("in/clear.png")
    code, out, err = clc("compress", "in", "-O", "out", "--quiet", *PLAIN)
    assert (code, out) == (1, "")
    assert [line.split(": ")[1] for line in err.splitlines()] == ["in/bad.png", "in/clear.png"]
    assert clc("decompress", "out", "-O", "back", "--quiet") == (0, "", "")


def test_bytes_of_metadata_are_said(clc: Call) -> None:
    Path("a.jpg").write_bytes(encoded(smooth(64, 80), "JPEG", exif=exif()))
    out = clc("compress", "a.jpg", *PLAIN)[1]
    section = Bitstream.from_bytes(Path("a.clc").read_bytes()).metadata
    assert section is not None
    assert f", {len(section)} bytes of metadata\n" in out
    assert "metadata" not in clc("compress", "a.jpg", "b.clc", "--strip", *PLAIN)[1]


def test_an_empty_name_is_not_the_current_folder(clc: Call) -> None:
    """As of a shell's variable that is not set."""
    for command in ("compress", "decompress"):
        assert_refused(clc(command, ""), "a name is empty")
    assert list(Path().rglob("*.clc")) == []


def test_a_photo_that_is_named_twice_is_said_so(clc: Call) -> None:
    assert_refused(clc("compress", "in/photo-1.png", "./in/photo-1.png", "-O", "out"), "is named twice; name it once")


def test_an_error_of_a_single_stream_names_it(clc: Call) -> None:
    Path("a.clc").write_bytes(b"?")
    assert clc("decompress", "a.clc")[2] == "clc: a.clc: not a .clc stream: it does not begin with 'CLC'\n"
    assert clc("info", "a.clc")[2] == "clc: a.clc: not a .clc stream: it does not begin with 'CLC'\n"
    assert clc("decompress", "b.clc")[2] == "clc: b.clc cannot be read: No such file or directory\n"


def test_names_stay_on_their_line(clc: Call) -> None:
    Path("in/photo-1.png").rename("two\nlines.png")
    assert clc("compress", "two\nlines.png", *PLAIN)[1].startswith(r"two\nlines.clc: ")


@pytest.mark.medium
def test_a_terminal_shows_how_far_it_is_and_output_goes_where_it_is_sent() -> None:
    shown = _on_a_terminal("compress", "in", "-O", "out", *PLAIN)
    assert b"/5" in shown
    assert b"out/" not in shown
    assert len(Path("lines").read_text().splitlines()) == 6


@pytest.mark.medium
def test_a_terminal_shows_how_far_a_large_photo_is(world: World) -> None:
    photo = world.test_photos / "photo-100.png"
    shown = _on_a_terminal("compress", photo, "large.clc", "--model", "tiny", *PLAIN, before=_ALL_ARE_LARGE)
    for step in (b"analysing", b"coding", b"drawing"):
        assert step in shown
    assert b"large.clc" not in shown
    shown = _on_a_terminal("decompress", "large.clc", "decoded.png", before=_ALL_ARE_LARGE)
    for step in (b"decoding", b"drawing"):
        assert step in shown
    assert Image.open("decoded.png").size == Image.open(photo).size


_ALL_ARE_LARGE = "import clc.codec.frozen_model; clc.codec.frozen_model.BANDED_FROM = 1"


def _on_a_terminal(*arguments: object, before: str = "") -> bytes:
    """What a command shows there; what it prints goes into the file `lines`. before: Python that runs first."""
    ours, theirs = pty.openpty()
    with Path("lines").open("wb") as lines:
        program = f"{before}\nimport runpy; runpy.run_module('clc', run_name='__main__')"
        command = [sys.executable, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=lines, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how a terminal ends
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown


@pytest.mark.medium
def test_interrupted_it_leaves_whole_files_alone() -> None:
    for number in range(60):
        shutil.copy("in/photo-1.png", f"in/copy-{number}.png")
    command = [sys.executable, "-m", "clc", "compress", "in", "-O", "out", *map(str, PLAIN)]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # shells start what runs in the background without
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert re.fullmatch(r"clc: interrupted after \d+ of 65 files; these are whole\n", err)
    written = list(Path("out").rglob("*"))
    assert 0 < len([path for path in written if path.is_file()]) < 65
    for path in written:
        assert path.is_dir() or Bitstream.from_bytes(path.read_bytes()).header.width == 80


class TestLibrary:
    @pytest.fixture
    def codec(self, world: World) -> StoreCodec:
        from clc.api import load

        return load(store=world.store)

    def test_threads_leave_pytorch_as_it_was(self, codec: StoreCodec) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            list(codec.compress_many([smooth(), smooth()], references=False, jobs=2))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    @pytest.mark.medium
    def test_copies_are_used_again(self, codec: StoreCodec) -> None:
        for _ in range(3):
            list(codec.compress_many([smooth(), smooth(), smooth()], references=False, jobs=2))
            assert 1 <= len(codec._copies) <= 2

    def test_a_caller_may_stop_early(self, codec: StoreCodec) -> None:
        taken = []

        def images():  # type: ignore[no-untyped-def]
            for number in range(100):
                taken.append(number)
                yield smooth(24, 32)

        coded = codec.compress_many(images(), references=False, jobs=2)
        next(coded)
        del coded
        assert len(taken) < 10
