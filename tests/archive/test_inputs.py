"""Which photos a command means, and what they are called in the archive."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clc.archive.inputs import find_inputs
from clc.errors import ImageError, SourceError
from clc.runtime.remarks import Summary
from tests.archive.samples import write_photos


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(Path("a"), [1, 2])
    write_photos(Path("a/sub"), [3])
    write_photos(Path("b"), [1])


def names(*arguments: str, listed: tuple[str, ...] = ()) -> list[str]:
    return [photo.name for photo in find_inputs(arguments, listed)]


def test_a_folder_alone_gives_the_paths_in_it(tmp_path: Path) -> None:
    expected = ["photo-1.png", "photo-2.png", "sub/photo-3.png"]
    assert names("a") == names("a/") == names(str(tmp_path / "a")) == names("./b/../a") == expected


def test_folders_beside_each_other_keep_their_names() -> None:
    assert names("a", "b") == ["a/photo-1.png", "a/photo-2.png", "a/sub/photo-3.png", "b/photo-1.png"]


def test_files_are_called_by_what_they_do_not_have_in_common(tmp_path: Path) -> None:
    assert names(str(tmp_path / "a/photo-1.png"), "a/photo-2.png") == ["photo-1.png", "photo-2.png"]
    assert names("a/photo-1.png", "a/sub/photo-3.png") == ["photo-1.png", "sub/photo-3.png"]


def test_patterns_are_expanded() -> None:
    assert names("a/*.png") == ["photo-1.png", "photo-2.png"]
    assert names("a/**/*-3.png") == ["photo-3.png"]


def test_a_list_names_files() -> None:
    assert names(listed=("a/photo-2.png", "", "b/photo-1.png")) == ["a/photo-2.png", "b/photo-1.png"]


def test_a_file_is_taken_once() -> None:
    os.symlink("photo-1.png", "a/link.png")
    assert names("a", "a/photo-1.png", "a/photo-*.png") == ["a/link.png", "a/photo-2.png", "a/sub/photo-3.png"]


def test_what_is_left_out_is_said() -> None:
    Path("a/film.mov").touch()
    Path("a/IMG.HEIC").touch()
    Path("a/link.png").symlink_to("../b/photo-1.png")
    Path("a/more").symlink_to("../b")
    with Summary() as summary:
        inputs = find_inputs(["a"])
    assert summary.lines() == [
        "film.mov: left out, not a photo",
        "link.png: left out, a link out of the folder; copy what it leads to",
        "more: left out, a linked folder; copy its photos, or name it as a source",
    ]
    assert inputs.count == 4


def test_a_file_that_is_named_is_taken_whatever_it_is_called() -> None:
    Path("a/photo-1.png").rename("a/scan")
    assert names("a/scan") == ["scan"]


def test_names_that_no_archive_can_have_are_named() -> None:
    (Path("a") / os.fsdecode(b"\xff.png")).touch()
    inputs = find_inputs(["a"])
    assert len(inputs.photos) == 3
    assert "UTF-8" in inputs.unusable[0][1]


def test_a_fifo_is_not_waited_for() -> None:
    os.mkfifo("a/fifo.png")
    [fifo] = [photo for photo in find_inputs(["a"]) if photo.name == "fifo.png"]
    with pytest.raises(ImageError, match="not a file"):
        fifo.read()


def test_a_loop_of_links_ends() -> None:
    Path("a/loop").symlink_to("../a")
    Path("a/self.png").symlink_to("self.png")
    inputs = find_inputs(["a"])
    assert len(inputs.photos) == 3
    assert len(inputs.unusable) == 1


def test_a_source_comes_by_its_specification() -> None:
    inputs = find_inputs(["bundled?split=test"])
    assert ([photo.name for photo in inputs], inputs.count) == (["chelsea", "motorcycle_right"], None)


def test_a_photo_of_a_source_that_has_only_its_path_says_so() -> None:
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "far.png"}]}), "pack.parquet")
    [photo] = find_inputs(["parquet:pack.parquet"])
    with pytest.raises(ImageError, match=r"far\.png: only its path is in the file"):
        photo.read()


def test_what_is_not_there_is_refused() -> None:
    for argument in ("none", "none/*.png"):
        with pytest.raises(SourceError, match="no such file, folder or pattern"):
            find_inputs([argument])
    Path("empty").mkdir()
    with pytest.raises(SourceError, match="there are no photos"):
        find_inputs(["empty"])
