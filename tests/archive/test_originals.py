"""Original files in an archive: JPEG files smaller than they were, every file back to the byte."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from clc.archive.byte_ranges import FileObject
from clc.archive.contents import Extent, OriginalRow, sha256
from clc.archive.creation import add_to_archive, create_archive
from clc.archive.inputs import find_inputs
from clc.archive.originals import OriginalMethod, pack_original, pack_originals, parse_originals, unpack_original
from clc.archive.records import salvage
from clc.archive.sections import Section
from clc.archive.soundness import verify_archive
from clc.archive.unpacker import PictureFolder, unpack_originals
from clc.archive.writer import open_archive
from clc.errors import ArchiveError, OutputError
from tests.archive.samples import LosslessCoder, LosslessDecoder, bundled_crops, pixels
from tests.archive.test_creation import Stop, stop_after

NAMES = ("a.jpg", "b.png", "sub/c.bmp", "sub/twin.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A JPEG file, the same under another name, a PNG, which no method makes smaller, and a BMP, which zstd does."""
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    Image.fromarray(bundled_crops()[0]).save(root / "a.jpg", quality=90)
    Image.fromarray(pixels(1)).save(root / "b.png")
    Image.fromarray(np.repeat(pixels(2), 20, axis=1)).save(root / "sub/c.bmp")
    (root / "sub/twin.jpg").write_bytes((root / "a.jpg").read_bytes())
    os.utime(root / "a.jpg", ns=(0, 10**18 + 7))
    return root


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return tmp_path / "a.clca"


@pytest.fixture
def codecs() -> ModuleType:
    return pytest.importorskip("imagecodecs")


def assert_back(album: Path, folder: Path, root: Path) -> None:
    archive = open_archive(album)
    results = list(unpack_originals(archive, PictureFolder(root), archive.names))
    assert [each.reason for each in results] == [""] * len(archive.names)
    for name in archive.names:
        assert (root / name).read_bytes() == (folder / name).read_bytes()
        assert (root / name).stat().st_mtime_ns == (folder / name).stat().st_mtime_ns
    assert not [problem for _, problem in verify_archive(archive, LosslessDecoder()) if problem]


@pytest.mark.usefixtures("codecs")
class TestKeeping:
    def test_files_come_back_to_the_byte_and_a_file_of_two_names_is_kept_once(
        self, album: Path, folder: Path, tmp_path: Path
    ) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        archive = open_archive(album)
        rows = {name: archive.member(name).original for name in archive.names}
        assert [rows[name].method for name in NAMES[:3]] == [*map(OriginalMethod, (2, 0, 1))]
        assert rows["a.jpg"] == rows["sub/twin.jpg"]
        assert rows["a.jpg"].extent.length < 0.95 * (folder / "a.jpg").stat().st_size
        assert_back(album, folder, tmp_path / "out")

    def test_unasked_nothing_is_kept_and_that_is_said(self, album: Path, folder: Path, tmp_path: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        archive = open_archive(album)
        (result,) = unpack_originals(archive, PictureFolder(tmp_path / "out"), ["b.png"])
        assert "its original is not kept" in result.reason

    def test_it_changes_no_stream(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        kept = open_archive(album)
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), overwrite=True)
        plain = open_archive(album)
        assert {name: kept.streams(name) for name in NAMES} == {name: plain.streams(name) for name in NAMES}

    def test_interrupted_it_goes_on_to_the_same_bytes(self, album: Path, folder: Path, tmp_path: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        whole = album.read_bytes()
        for count in (1, 2, 3):
            path = tmp_path / f"{count}.clca"
            with pytest.raises(Stop):
                create_archive(
                    path, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(count), keep_originals=True
                )
            create_archive(path, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
            assert path.read_bytes() == whole

    def test_what_was_left_damaged_is_packed_again(self, album: Path, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(Stop):
            create_archive(
                album, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(3), keep_originals=True
            )
        part = tmp_path / "a.clca.part"
        data = bytearray(part.read_bytes())
        data[data.index((folder / "b.png").read_bytes()) + 30] ^= 1
        part.write_bytes(data)
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        assert_back(album, folder, tmp_path / "out")

    def test_photos_are_added_with_theirs(self, album: Path, folder: Path, tmp_path: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        Image.fromarray(bundled_crops()[1]).save(folder / "new.jpg")
        (folder / "again.jpg").write_bytes((folder / "a.jpg").read_bytes())
        add_to_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        archive = open_archive(album)
        assert archive.member("again.jpg").original == archive.member("a.jpg").original
        assert_back(album, folder, tmp_path / "out")

    def test_salvage_finds_the_photos_among_them(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        cut = album.read_bytes()[:-60]
        assert {each.name for each in salvage(FileObject(io.BytesIO(cut))) if each.stream} == set(NAMES)

    def test_a_flipped_bit_is_found_and_the_picture_stays(self, album: Path, folder: Path, tmp_path: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
        row = open_archive(album).member("a.jpg").original
        assert row is not None
        data = bytearray(album.read_bytes())
        data[row.extent.at + 99] ^= 1
        album.write_bytes(data)
        archive = open_archive(album)
        problems = dict(verify_archive(archive))
        assert [name for name, problem in problems.items() if problem] == ["a.jpg", "sub/twin.jpg"]
        (result,) = unpack_originals(archive, PictureFolder(tmp_path / "out"), ["a.jpg"])
        assert "its original is damaged" in result.reason
        assert archive.streams("a.jpg")

    def test_a_jpeg_that_cannot_be_transcoded_is_kept_as_it_is(self, folder: Path) -> None:
        data = (folder / "a.jpg").read_bytes()[:-500]
        method, stored = pack_original(data)
        assert (method, stored) == (OriginalMethod.PLAIN, data)

    def test_what_is_behind_the_end_of_a_jpeg_comes_back(self, folder: Path) -> None:
        data = (folder / "a.jpg").read_bytes() + b"what a camera wrote behind it" * 9
        method, stored = pack_original(data)
        assert method == OriginalMethod.JPEG_XL
        assert unpack_original(method, stored, len(data), sha256(data)) == data

    def test_no_jpeg_xl_is_one_error(self) -> None:
        with pytest.raises(ArchiveError, match="its original is damaged"):
            unpack_original(OriginalMethod.JPEG_XL, b"no JPEG XL", 10, bytes(32))


def test_without_the_library_it_stops_before_anything_is_written(
    album: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ModuleNotFoundError):
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
    assert os.listdir(album.parent) == ["photos"]


@pytest.mark.parametrize(
    ("size", "digest"), [(11, b""), (9, b""), (10, bytes(32)), (2**62, b"")], ids=["longer", "shorter", "hash", "huge"]
)
def test_another_file_than_was_packed_is_refused(size: int, digest: bytes) -> None:
    data = b"0123456789"
    with pytest.raises(ArchiveError, match=r"damaged|has 10 bytes|refused"):
        unpack_original(OriginalMethod.PLAIN, data, size, digest or sha256(data))


def section(data: bytes) -> Section:
    return Section(0, len(data), data)


class TestTable:
    ROW = OriginalRow(Extent(100, 20), 1, bytes(16))

    def test_it_comes_back(self) -> None:
        other = OriginalRow(Extent(300, 40), 2, bytes(range(16)))
        packed = pack_originals([None, self.ROW, other, None, self.ROW])
        assert packed is not None
        table = parse_originals(section(packed), 5, 340)
        assert [table[member] for member in range(5)] == [None, self.ROW, other, None, self.ROW]

    @pytest.mark.parametrize(
        ("row", "limit", "message"),
        [
            (ROW, 119, "outside"),
            (replace(ROW, extent=Extent(2**62, 2**62)), 1000, "outside"),
            (replace(ROW, extent=Extent(-1, 5)), 1000, "outside"),
            (replace(ROW, method=3), 1000, "unknown to this release"),
            (replace(ROW, digest=bytes(15)), 1000, "cut short"),
            (replace(ROW, digest=bytes(17)), 1000, "too many"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, row: OriginalRow, limit: int, message: str) -> None:
        packed = pack_originals([row])
        assert packed is not None
        with pytest.raises(ArchiveError, match=message):
            parse_originals(section(packed), 1, limit)


def test_nothing_is_replaced(album: Path, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    create_archive(album, find_inputs([str(folder)]), LosslessCoder(), keep_originals=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_text("mine")
    results = list(unpack_originals(open_archive(album), PictureFolder(tmp_path / "out"), NAMES))
    assert [bool(each.reason) for each in results] == [False, True, False, False]
    assert (tmp_path / "out" / "b.png").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        list(unpack_originals(open_archive(album), PictureFolder(tmp_path / "file"), NAMES))
