"""A folder of pictures gives back what was written, or nothing, whatever happens to it."""

import doctest
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clc.codec.references import picture_folder
from clc.codec.references.picture_folder import PictureFolder, user_folder
from tests.conftest import picture

PICTURE = picture(0, 48, 64)
OTHER = picture(1, 48, 64)


@pytest.fixture
def folder(tmp_path: Path) -> PictureFolder:
    """With one picture under the key "it"."""
    made = PictureFolder(tmp_path / "pictures")
    made.write("it", PICTURE)
    return made


def files(folder: PictureFolder) -> list[Path]:
    return sorted(folder.path.iterdir())


def holds(folder: PictureFolder, key: str = "it") -> bool:
    """Whether it has the picture; never another one."""
    found = folder.read(key, 48, 64)
    assert found is None or np.array_equal(found, PICTURE)
    return found is not None


def test_the_example_in_the_docs_runs() -> None:
    assert doctest.testmod(picture_folder).failed == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (33, 2)])
def test_it_gives_back_what_was_written(folder: PictureFolder, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)  # the worst for a file's size
    folder.write("noise", pixels)
    found = folder.read("noise", *shape)
    assert found is not None
    assert np.array_equal(found, pixels)
    assert holds(folder)


def test_noise_fits_what_a_file_may_have(folder: PictureFolder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    folder.write("noise", pixels)
    assert folder.read("noise", 300, 400) is not None


def test_a_flipped_bit_anywhere_makes_it_nothing(folder: PictureFolder) -> None:
    [file] = files(folder)
    sound = file.read_bytes()
    for place in [*range(60), *range(60, len(sound), 97), len(sound) - 1]:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        if holds(folder):  # padding of the WebP, which no pixel depends on
            assert place >= 60
        else:
            assert not file.exists(), "what is damaged goes"
    folder.write("it", PICTURE)
    assert holds(folder)


def test_a_file_under_another_name_is_not_taken_for_its_picture(folder: PictureFolder) -> None:
    [it] = files(folder)
    folder.write("another", OTHER)
    [another] = set(files(folder)) - {it}
    shutil.copy(another, it)
    assert not holds(folder)


def test_a_picture_of_another_size_is_not_taken(folder: PictureFolder) -> None:
    assert folder.read("it", 64, 48) is None


def as_link(file: Path) -> None:
    """To what would be right."""
    moved = file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(moved)


def as_folder(file: Path) -> None:
    file.unlink()
    (file / "inside").mkdir(parents=True)


def as_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def as_terabyte(file: Path) -> None:
    os.truncate(file, 2**40)


@pytest.mark.parametrize("change", [as_link, as_folder, as_fifo, as_terabyte, lambda file: file.write_bytes(b"")])
def test_what_is_no_such_file_is_left_unread(folder: PictureFolder, change: Callable[[Path], None]) -> None:
    change(files(folder)[0])
    assert not holds(folder)
    folder.write("it", PICTURE)
    assert holds(folder) or change is as_folder


def test_a_link_is_replaced_not_followed(folder: PictureFolder) -> None:
    [file] = files(folder)
    as_link(file)
    folder.write("it", OTHER)
    assert not file.is_symlink()
    assert (file.parent.parent / "elsewhere").read_bytes() != file.read_bytes()


def test_a_folder_that_others_may_write_to_is_left_alone(folder: PictureFolder) -> None:
    folder.path.chmod(0o777)
    assert not holds(folder)
    folder.write("another", PICTURE)
    assert len(files(folder)) == 1
    folder.path.chmod(0o700)
    assert holds(folder)


def test_nobody_else_can_read_it(folder: PictureFolder) -> None:
    assert folder.path.stat().st_mode & 0o077 == 0


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = PictureFolder(tmp_path / "file" / "pictures")
    folder.write("it", PICTURE)
    assert not holds(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_in_a_folder_that_cannot_be_written_to_nothing_is_kept(folder: PictureFolder) -> None:
    folder.path.chmod(0o500)
    folder.write("another", PICTURE)
    assert not holds(folder, "another")
    assert holds(folder)
    folder.path.chmod(0o700)


def test_where_there_is_no_room_nothing_is_kept_and_nothing_left(folder: PictureFolder) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        folder.write("another", PICTURE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not holds(folder, "another")
    assert len(files(folder)) == 1


def test_what_was_not_used_for_longest_goes_first(folder: PictureFolder) -> None:
    size = files(folder)[0].stat().st_size
    small = PictureFolder(folder.path, limit=3 * size)
    for number, key in enumerate(("it", "second", "third")):
        small.write(key, PICTURE)
        os.utime(small._file(key), (number, number))
    assert holds(small)  # and is the youngest now
    small.write("fourth", PICTURE)
    assert [holds(small, key) for key in ("it", "second", "third", "fourth")] == [True, False, True, True]
    assert sum(file.stat().st_size for file in files(small)) <= 3 * size


def test_what_exceeds_the_limit_alone_is_not_kept(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path / "pictures", limit=100)
    folder.write("it", PICTURE)
    assert not folder.path.exists()


def test_files_of_others_stay(folder: PictureFolder) -> None:
    foreign = folder.path / "notes.txt"
    foreign.write_bytes(b"x" * 10_000)
    small = PictureFolder(folder.path, limit=files(folder)[0].stat().st_size + 1)
    small.write("another", PICTURE)
    assert foreign.exists()
    assert holds(small, "another")
    assert not holds(small)


def test_what_a_killed_process_left_goes(folder: PictureFolder) -> None:
    fresh, forgotten = folder.path / ".unfinished-fresh", folder.path / ".unfinished-forgotten"
    for file in (fresh, forgotten):
        file.write_bytes(b"x")
    os.utime(forgotten, (time.time() - 7200,) * 2)
    folder.write("another", PICTURE)
    assert fresh.exists()
    assert not forgotten.exists()


FILL = """
import sys
from pathlib import Path
import numpy as np
from clc.codec.references.picture_folder import PictureFolder
folder = PictureFolder(Path(sys.argv[1]), limit=40_000)
for turn in range(120):
    number = (turn * int(sys.argv[2])) % 12
    picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    found = folder.read(str(number), 48, 64)
    assert found is None or np.array_equal(found, picture)
    folder.write(str(number), picture)
"""


@pytest.mark.medium
def test_two_processes_may_fill_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pictures"
    processes = [subprocess.Popen([sys.executable, "-c", FILL, str(path), step]) for step in ("5", "7")]
    assert [process.wait() for process in processes] == [0, 0]
    folder = PictureFolder(path, limit=40_000)
    folder.write("last", PICTURE)
    left = files(folder)
    assert all(file.suffix == ".picture" for file in left)
    assert sum(file.stat().st_size for file in left) <= 40_000
    kept = [number for number in range(12) if folder.read(str(number), 48, 64) is not None]
    assert len(kept) == len(left) - 1 > 1


def test_the_user_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "clc" / "pictures" == PictureFolder().path
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for nothing in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", nothing)
        assert user_folder() == tmp_path / "home" / ".cache" / "clc" / "pictures"
