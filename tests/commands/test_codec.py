"""`clc compress` and `clc decompress`: which file goes where, and that nothing of the user's is ever lost."""

import io
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from clc.codec.artifacts import open_codec
from clc.store import Store
from tests.codec.syntax_models import write_syntax_model
from tests.commands.conftest import Call, assert_refused
from tests.conftest import World, picture

PLAIN = ("--no-references", "--quality", 20)


@pytest.fixture(autouse=True)
def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds a.png and b.png."""
    monkeypatch.setenv("CLC_STORE", world.store.url)
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.open(world.test_photos / "photo-100.png").crop((0, 0, 80, 64)).save(name)
    return tmp_path


@pytest.fixture
def stream(clc: Call) -> str:
    """The name of a stream of a.png, which is gone."""
    assert clc("compress", "a.png", *PLAIN)[0] == 0
    Path("a.png").unlink()
    return "a.clc"


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path().iterdir()) if path.is_file()}


def in_a_process(*arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "clc", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False)


class TestCompress:
    @pytest.mark.medium
    def test_an_image_goes_to_a_stream_beside_it(self, clc: Call) -> None:
        code, out, _ = clc("compress", "a.png", *PLAIN)
        assert code == 0
        assert out.startswith(f"a.clc: {Path('a.clc').stat().st_size} bytes, ")
        assert set(contents()) == {"a.png", "b.png", "a.clc"}

    def test_two_images_are_two_inputs(self, clc: Call) -> None:
        before = contents()
        code, out, _ = clc("compress", "a.png", "b.png", *PLAIN)
        assert code == 0
        assert [line.split(":")[0] for line in out.splitlines()[:-1]] == ["a.clc", "b.clc"]
        after = contents()
        assert {name: after[name] for name in before} == before
        assert after["a.clc"] == after["b.clc"]

    def test_outputs_go_to_a_folder_that_is_made(self, clc: Call) -> None:
        assert clc("compress", "a.png", "b.png", "-O", "new/folder", *PLAIN)[0] == 0
        assert sorted(os.listdir("new/folder")) == ["a.clc", "b.clc"]
        assert set(contents()) == {"a.png", "b.png"}

    @pytest.mark.parametrize("command", ["compress", "decompress", "unpack"])
    def test_an_empty_name_of_a_folder_is_not_the_current_one(self, clc: Call, command: str) -> None:
        before = contents()
        code, _, err = clc(command, "a.png", "-O", "")
        assert (code, "the name is empty" in err) == (2, True)
        assert contents() == before

    def test_an_output_that_is_there_is_refused_without_force(self, clc: Call) -> None:
        Path("out.clc").write_text("old")
        assert_refused(clc("compress", "a.png", "out.clc", *PLAIN), "out.clc is there already", "--force")
        assert Path("out.clc").read_text() == "old"
        assert clc("compress", "a.png", "out.clc", "--force", *PLAIN)[0] == 0
        assert Path("out.clc").read_bytes()[:4] != b"old"

    def test_one_output_that_is_there_stops_all(self, clc: Call) -> None:
        Path("b.clc").write_text("old")
        before = contents()
        assert_refused(clc("compress", "a.png", "b.png", *PLAIN), "b.clc is there already")
        assert contents() == before

    def test_a_read_only_output_is_refused_even_with_force(self, clc: Call) -> None:
        Path("out.clc").write_text("old")
        Path("out.clc").chmod(0o444)
        assert_refused(clc("compress", "a.png", "out.clc", *PLAIN), "--force")
        assert_refused(clc("compress", "a.png", "out.clc", "--force", *PLAIN), "make it writable")
        assert Path("out.clc").read_text() == "old"

    @pytest.mark.parametrize("link", ["same", "hard", "symbolic"])
    def test_an_output_that_is_the_input_is_refused_even_with_force(self, clc: Call, link: str) -> None:
        if link == "same":
            Path("a.png").rename("a.clc")
        elif link == "hard":
            Path("a.clc").hardlink_to("a.png")
        else:
            Path("a.clc").symlink_to("a.png")
        before = contents()
        source = "a.clc" if link == "same" else "a.png"
        assert_refused(clc("compress", source, "a.clc", "--force", *PLAIN), "input", "would be lost")
        assert_refused(clc("compress", source, "--force", *PLAIN), "input", "would be lost")
        assert contents() == before

    def test_an_output_that_is_another_input_is_refused_even_with_force(self, clc: Call) -> None:
        Path("a.clc").symlink_to("b.png")
        before = contents()
        assert_refused(clc("compress", "a.png", "b.png", "--force", *PLAIN), "the input b.png")
        assert contents() == before

    def test_an_image_that_is_called_like_a_stream_is_not_replaced(self, clc: Call) -> None:
        Path("b.png").rename("a.clc")
        before = contents()
        assert clc("compress", "a.png", "a.clc", "-O", ".", "--force", *PLAIN)[0] == 0
        after = contents()
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) == {"a.png.clc", "a.clc.clc"}

    def test_a_name_given_twice_is_refused(self, clc: Call) -> None:
        assert_refused(clc("compress", "a.png", "a.png", *PLAIN), "a.png is named twice")

    @pytest.mark.parametrize("link", ["hard", "symbolic"])
    def test_a_file_of_two_names_that_differ_in_the_suffix_alone_is_refused(self, clc: Call, link: str) -> None:
        Path("a.tif").hardlink_to("a.png") if link == "hard" else Path("a.tif").symlink_to("a.png")
        assert_refused(clc("compress", "a.png", "a.tif", *PLAIN), "a.png and a.tif are one file; name it once")
        assert set(contents()) == {"a.png", "a.tif", "b.png"}

    @pytest.mark.parametrize("order", [("a.png", "a.tif"), ("a.tif", "a.png")])
    def test_names_that_differ_in_the_suffix_alone_are_kept(self, clc: Call, order: tuple[str, str]) -> None:
        shutil.copy("b.png", "a.tif")
        code, out, err = clc("compress", *order, "b.png", *PLAIN)
        assert (code, len(err.splitlines())) == (0, 1)
        assert [line.split(":")[0] for line in out.splitlines()[:-1]] == [f"{name}.clc" for name in order] + ["b.clc"]

    def test_one_name_in_two_folders_is_refused_for_one_folder(self, clc: Call) -> None:
        Path("other").mkdir()
        shutil.copy("a.png", "other")
        assert_refused(clc("compress", "a.png", "other/a.png", "-O", "out", *PLAIN), "both go to out/a.clc")
        assert not Path("out").exists()
        assert clc("compress", "a.png", "other/a.png", *PLAIN)[0] == 0

    def test_outputs_that_lead_to_one_file_are_refused(self, clc: Call) -> None:
        Path("kept").write_text("old")
        for name in ("a.clc", "b.clc"):
            Path(name).symlink_to("kept")
        assert_refused(clc("compress", "a.png", "b.png", "--force", *PLAIN), "both go to")
        assert Path("kept").read_text() == "old"

    def test_an_input_that_cannot_be_read_is_named_and_the_others_are_done(self, clc: Call) -> None:
        Path("text.png").write_text("this is not a picture")
        Path("folder").mkdir()
        code, out, err = clc("compress", "text.png", "a.png", "none.png", "folder", "b.png", *PLAIN)
        assert code == 1
        assert [line.split(":")[0] for line in out.splitlines()[:-1]] == ["a.clc", "b.clc"]
        assert out.splitlines()[-1].startswith("2 of 4 files, ")
        assert [line.split(":")[1].strip() for line in err.splitlines()] == ["text.png", "none.png", "folder"]
        assert {"a.clc", "b.clc"} < set(contents())
        assert "text.clc" not in contents()

    @pytest.mark.usefixtures("network_only")
    def test_an_image_without_a_quality_that_meets_the_target_is_named_and_the_others_are_done(self, clc: Call) -> None:
        Image.new("RGB", (64, 64)).save("black.png")
        code, out, err = clc("compress", "a.png", "black.png", "--no-references", "--psnr", 32)
        assert (code, out.split(":")[0]) == (1, "a.clc")
        assert err.startswith("clc: black.png: no quality")

    def test_a_mistake_in_an_option_is_said_once(self, clc: Call) -> None:
        assert_refused(clc("compress", "a.png", "b.png", "--bpp", -1), "bpp")
        assert_refused(clc("compress", "a.png", "b.png", "--backbone", "vgg"), "vgg")
        assert_refused(clc("compress", "a.png", "b.png", "--effort", 10), "effort", "from 0 to 9")

    def test_a_folder_without_photos_is_one_line(self, clc: Call) -> None:
        Path("folder").mkdir()
        assert_refused(clc("compress", "folder", *PLAIN), "folder: there is nothing in it")
        assert_refused(clc("decompress", "folder"), "folder: there is nothing in it")

    def test_a_folder_does_not_go_to_one_stream(self, clc: Call) -> None:
        Path("folder").mkdir()
        assert_refused(clc("compress", "folder", "x.clc", *PLAIN), "folder is a folder", "-O FOLDER")

    def test_a_folder_as_output_is_refused_with_the_option_for_it(self, clc: Call) -> None:
        Path("folder").mkdir()
        assert_refused(clc("compress", "a.png", "folder", *PLAIN), "use -O folder")

    def test_a_second_name_that_is_neither_image_nor_stream_is_refused(self, clc: Call) -> None:
        before = contents()
        assert_refused(clc("compress", "a.png", "c.png", *PLAIN), "c.png", "ends in .clc")
        assert contents() == before

    def test_a_file_in_place_of_the_folder_is_refused(self, clc: Call) -> None:
        before = contents()
        assert_refused(clc("compress", "a.png", "-O", "b.png", *PLAIN), "b.png: cannot be made")
        assert contents() == before

    def test_a_fifo_is_written_into(self, clc: Call) -> None:
        os.mkfifo("fifo")
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(Path("fifo").read_bytes()), daemon=True)
        reader.start()
        assert clc("compress", "a.png", "fifo", *PLAIN)[0] == 0
        reader.join(timeout=10)
        assert clc("compress", "a.png", *PLAIN)[0] == 0
        assert received == [Path("a.clc").read_bytes()]
        assert stat.S_ISFIFO(os.stat("fifo").st_mode)

    @pytest.mark.parametrize("options", [(), ("--force",)])
    def test_a_device_stays_one(self, clc: Call, options: tuple[str, ...]) -> None:
        before = os.stat("/dev/null")
        assert clc("compress", "a.png", "/dev/null", *options, *PLAIN)[0] == 0
        assert (os.stat("/dev/null").st_mode, os.stat("/dev/null").st_ino) == (before.st_mode, before.st_ino)

    def test_a_link_to_a_file_needs_force_and_stays(self, clc: Call) -> None:
        Path("kept").write_text("old")
        Path("out.clc").symlink_to("kept")
        assert_refused(clc("compress", "a.png", "out.clc", *PLAIN), "--force")
        assert Path("kept").read_text() == "old"
        assert clc("compress", "a.png", "out.clc", "--force", *PLAIN)[0] == 0
        assert Path("out.clc").is_symlink()
        assert clc("decompress", "kept", "out.png")[0] == 0

    def test_a_link_that_leads_nowhere_is_refused(self, clc: Call) -> None:
        Path("out.clc").symlink_to("nowhere")
        assert_refused(clc("compress", "a.png", "out.clc", "--force", *PLAIN), "nowhere, which is not there")
        assert not Path("nowhere").exists()


class TestDecompress:
    def test_a_stream_goes_to_a_png_beside_it(self, clc: Call, stream: str) -> None:
        assert clc("decompress", stream) == (0, "a.png: 80x64\n", "")
        assert Image.open("a.png").format == "PNG"

    def test_two_streams_are_two_inputs(self, clc: Call, stream: str) -> None:
        shutil.copy(stream, "c.clc")
        assert clc("decompress", stream, "c.clc")[0] == 0
        assert {"a.png", "c.png", "a.clc", "c.clc"} < set(contents())

    def test_one_stream_given_twice_is_refused(self, clc: Call, stream: str) -> None:
        before = contents()
        assert_refused(clc("decompress", stream, stream, "--force"), "a.clc is named twice")
        assert contents() == before

    def test_a_picture_that_is_there_is_refused_without_force(self, clc: Call, stream: str) -> None:
        before = contents()
        assert_refused(clc("decompress", stream, "b.png"), "b.png is there already", "--force")
        assert contents() == before
        assert clc("decompress", stream, "b.png", "--force")[0] == 0
        assert contents()["b.png"] != before["b.png"]

    def test_an_output_that_is_the_stream_is_refused_even_with_force(self, clc: Call, stream: str) -> None:
        Path("hard.png").hardlink_to(stream)
        Path("symbolic.png").symlink_to(stream)
        before = contents()
        for output in ("hard.png", "symbolic.png"):
            assert_refused(clc("decompress", stream, output, "--force"), "would be lost")
        assert contents() == before

    @pytest.mark.parametrize(
        ("name", "format"),
        [
            ("x.PNG", "PNG"),
            ("x.jpg", "JPEG"),
            ("x.jpeg", "JPEG"),
            ("x.webp", "WEBP"),
            ("x.avif", "AVIF"),
            ("x.tif", "TIFF"),
            ("x.tiff", "TIFF"),
        ],
    )
    def test_the_name_says_the_format(self, clc: Call, stream: str, name: str, format: str) -> None:
        assert clc("decompress", stream, name)[0] == 0
        assert Image.open(name).format == format

    def test_the_option_overrides_the_name(self, clc: Call, stream: str) -> None:
        assert clc("decompress", stream, "x.picture", "--format", "JPEG")[0] == 0
        assert Image.open("x.picture").format == "JPEG"

    def test_the_option_names_the_pictures_beside_the_streams(self, clc: Call, stream: str) -> None:
        assert clc("decompress", stream, "-O", "out", "--format", "tiff")[0] == 0
        assert os.listdir("out") == ["a.tif"]

    def test_a_name_that_says_no_format_is_refused(self, clc: Call, stream: str) -> None:
        before = contents()
        assert_refused(clc("decompress", stream, "x.picture"), ".png, .jpg", "give the format")
        assert contents() == before

    def test_a_damaged_stream_is_named_and_the_others_are_done(self, clc: Call, stream: str) -> None:
        Path("broken.clc").write_bytes(Path(stream).read_bytes()[:-9])
        code, out, err = clc("decompress", "broken.clc", stream, "none.clc")
        assert code == 1
        assert out.startswith("a.png: 80x64\n1 of 3 files, ")
        assert ["broken.clc" in err.splitlines()[0], "none.clc" in err.splitlines()[1]] == [True, True]
        assert "broken.png" not in contents()

    def test_post_processing_with_a_model_that_has_none_is_said(self, clc: Call, stream: str) -> None:
        code, out, err = clc("decompress", stream, "--post")
        assert (code, out) == (2, "")
        assert "has no post-processing; decode the stream without" in err
        assert not Path("a.png").exists()

    @pytest.mark.medium
    @pytest.mark.usefixtures("network_only")
    def test_post_processing_changes_the_picture_of_a_model_that_has_it(self, clc: Call) -> None:
        store = Store("own")
        version = write_syntax_model(store)
        codec = open_codec(store, version)
        Path("c.clc").write_bytes(codec.compress(picture(7, 64, 64), references=False))
        for name, options in (("c.png", ()), ("d.png", ("--post",))):
            assert clc("decompress", "c.clc", name, "--store", "own", *options)[0] == 0
        assert contents()["c.png"] != contents()["d.png"]

    def test_a_device_gets_a_png_and_stays_one(self, clc: Call, stream: str) -> None:
        assert clc("decompress", stream, "/dev/null")[0] == 0
        assert Path("/dev/null").is_char_device()


class TestStandardStreams:
    @pytest.fixture
    def given(self, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Standard input is the stream."""
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(stream).read_bytes())))

    @pytest.mark.medium
    def test_a_photo_goes_through_pipes_and_back(self, stream: str) -> None:
        coded = in_a_process("compress", "-", "-", *PLAIN, given=Path("b.png").read_bytes())
        assert coded.returncode == 0
        assert coded.stdout == Path(stream).read_bytes()
        assert coded.stderr.startswith(f"-: {len(coded.stdout)} bytes, ".encode())
        decoded = in_a_process("decompress", "-", "--format", "webp", given=coded.stdout)
        assert (decoded.returncode, decoded.stderr) == (0, b"-: 80x64\n")
        assert Image.open(io.BytesIO(decoded.stdout)).format == "WEBP"

    @pytest.mark.medium
    def test_standard_output_under_its_other_name_gets_the_picture_alone(self, stream: str) -> None:
        decoded = in_a_process("decompress", stream, "/dev/stdout")
        assert (decoded.returncode, decoded.stderr) == (0, b"/dev/stdout: 80x64\n")
        assert Image.open(io.BytesIO(decoded.stdout)).format == "PNG"

    @pytest.mark.medium
    @pytest.mark.parametrize("command", ["compress", "decompress"])
    def test_standard_output_under_its_other_name_may_be_a_file(self, stream: str, command: str) -> None:
        """Which the shell opens as here for `>>`."""
        arguments = ["b.png", "/dev/stdout", *map(str, PLAIN)] if command == "compress" else [stream, "/dev/stdout"]
        Path("kept").write_bytes(b"before")
        os.utime(arguments[0], ns=(0, 10**18))
        with Path("kept").open("ab") as file:
            process = [sys.executable, "-m", "clc", command, *arguments]
            done = subprocess.run(process, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr[:13]) == (0, "/dev/stdout: ")
        before, made = Path("kept").read_bytes()[:6], Path("kept").read_bytes()[6:]
        assert before == b"before"
        assert made == Path(stream).read_bytes() if command == "compress" else made.startswith(b"\x89PNG")
        assert Path("kept").stat().st_mtime_ns > 10**18

    def test_an_output_that_is_open_and_read_from_is_refused(self, clc: Call) -> None:
        before = contents()
        with Path("a.png").open("ab") as file:
            assert_refused(clc("compress", "a.png", f"/dev/fd/{file.fileno()}", *PLAIN), "would be lost")
        assert contents() == before

    def test_standard_input_goes_to_a_file(self, clc: Call, given: None) -> None:
        assert clc("decompress", "-", "x.jpg") == (0, "x.jpg: 80x64\n", "")
        assert Image.open("x.jpg").format == "JPEG"

    def test_standard_input_is_described(self, clc: Call, given: None, stream: str) -> None:
        assert clc("info", "-") == clc("info", stream)

    def test_what_is_no_picture_is_one_line(self, clc: Call, given: None) -> None:
        assert_refused(
            clc("compress", "-", "x.clc", *PLAIN), "standard input: a stream or an archive of clc", "clc decompress"
        )

    def test_an_output_that_is_read_from_is_refused(self, stream: str) -> None:
        before = contents()
        with Path("b.png").open("rb") as given:
            command = [sys.executable, "-m", "clc", "decompress", "-", "b.png", "--force"]
            result = subprocess.run(command, stdin=given, capture_output=True, text=True, check=False)
        assert_refused((result.returncode, result.stdout, result.stderr), "would be lost")
        assert contents() == before

    def test_standard_input_among_several_has_no_name(self, clc: Call) -> None:
        assert_refused(clc("compress", "-", "a.png", "b.png", *PLAIN), "standard input has no name")
        assert_refused(clc("compress", "-", "-O", "out", *PLAIN), "standard input has no name")

    def test_a_file_may_be_named_like_standard_output(self, clc: Call, stream: str) -> None:
        assert clc("decompress", stream, "./-", "--format", "png")[0] == 0
        assert Image.open("./-").format == "PNG"

    @pytest.mark.medium
    def test_a_reader_that_leaves_is_one_line(self) -> None:
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "clc", "compress", "a.png", "-", *map(str, PLAIN)]
        result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
        os.close(write)
        assert_refused((result.returncode, "", result.stderr), "standard output cannot be written")
