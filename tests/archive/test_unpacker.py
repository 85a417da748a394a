"""Unpacking: pictures, names, times; nothing outside of the folder; what is whole of what is damaged."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clc.archive.byte_ranges import FileObject
from clc.archive.contents import MemberRow, sha256
from clc.archive.framing import Label
from clc.archive.names import file_names, printable
from clc.archive.unpacker import PictureFolder, Unpacked, select, unpack, unpack_salvaged
from clc.archive.writer import ArchiveWriter
from clc.errors import ArchiveError
from clc.images.encode import PictureFormat
from tests.archive.golden_file import NAMES, PATH, PICTURES
from tests.archive.samples import WORK, LosslessDecoder, archive_bytes, pixels, reader_of, stream_of

TIME = 1_700_000_000_123_456_789


def archive_of(*names: str, mode: int = 0o640) -> bytes:
    file = io.BytesIO()
    writer = ArchiveWriter(file)
    for seed, name in enumerate(names):
        number = writer.add_stream(stream_of(pixels(seed)), Label(WORK, name))
        writer.add_member(MemberRow(name, number, sha256(b""), 1, TIME, mode))
    writer.close()
    return file.getvalue()


def unpacked(data: bytes, root: Path, *patterns: str, **options: object) -> list[Unpacked]:
    archive = reader_of(data)
    folder = PictureFolder(root, **options)  # type: ignore[arg-type]
    return list(unpack(archive, LosslessDecoder(), folder, select(archive.names, patterns)))


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_photos_come_back_with_time_and_permissions(tmp_path: Path) -> None:
    results = unpacked(archive_of("a.jpg", "summer/b.webp"), tmp_path / "out")
    assert [each.reason for each in results] == ["", ""]
    assert files_in(tmp_path / "out") == ["a.png", "summer/b.png"]
    there = (tmp_path / "out" / "a.png").stat()
    assert (there.st_mtime_ns, there.st_mode & 0o777) == (TIME, 0o640)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "summer" / "b.png")), pixels(1))


def test_setuid_is_not_restored(tmp_path: Path) -> None:
    unpacked(archive_of("a.jpg", mode=0o4755), tmp_path)
    assert (tmp_path / "a.png").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize(
    ("format", "suffix", "kind"), [("jpeg", ".jpg", "JPEG"), ("webp", ".webp", "WEBP"), ("avif", ".avif", "AVIF")]
)
def test_a_lossy_format_has_a_quality(tmp_path: Path, format: str, suffix: str, kind: str) -> None:
    sizes = []
    for quality in (10, 90):
        root = tmp_path / str(quality)
        unpacked(archive_of("a.png"), root, format=PictureFormat(format), quality=quality)
        assert Image.open(root / f"a{suffix}").format == kind
        sizes.append((root / f"a{suffix}").stat().st_size)
    assert sizes[0] < sizes[1]


def test_names_and_patterns_select(tmp_path: Path) -> None:
    data = archive_of("a.jpg", "summer/b.jpg", "summer/far/c.jpg", "w[1].jpg")
    unpacked(data, tmp_path, "summer/*", "w[1].jpg")
    assert files_in(tmp_path) == ["summer/b.png", "summer/far/c.png", "w[1].png"]
    with pytest.raises(ArchiveError, match=r"nope\.jpg: the archive has no such photo"):
        unpacked(data, tmp_path, "nope.jpg")


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    results = unpacked(archive_of("a.jpg", "b.jpg"), tmp_path)
    assert ["there already" in each.reason for each in results] == [True, False]
    assert (tmp_path / "a.png").read_text() == "mine"
    assert unpacked(archive_of("a.jpg"), tmp_path, overwrite=True)[0].reason == ""


def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "sub").symlink_to(outside)
    (outside / "mine.png").write_text("mine")
    (root / "a.png").symlink_to(outside / "mine.png")
    results = unpacked(archive_of("sub/x.jpg", "sub/deep/x.jpg", "a.jpg"), root, overwrite=True)
    assert ["outside of" in each.reason for each in results] == [True] * 3
    assert files_in(outside) == ["mine.png"]
    assert (outside / "mine.png").read_text() == "mine"


def test_a_file_in_the_place_of_a_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("mine")
    results = unpacked(archive_of("sub/x.jpg", "b.jpg"), tmp_path)
    assert ["is a file" in each.reason for each in results] == [True, False]


class TestNames:
    def test_no_two_photos_go_to_one_file_on_any_file_system(self) -> None:
        names = [
            "a.jpg",
            "A.jpg",
            "b.jpg",
            "b.png",
            "caf\u00e9.jpg",
            "cafe\u0301.jpg",
            "d.jpg",
            "d.jpg.png",
            "e",
            "e/f.jpg",
        ]
        files = file_names(names, ".png")
        folded = {file.casefold() for file in files.values()}
        assert len(folded) == len(names)
        assert files["b.jpg"] == "b.jpg.png"
        assert files["d.jpg.png"] == "d.jpg.png"  # the plain rule gives it that name first
        assert files["d.jpg"] == "d.png"

    def test_a_file_is_not_called_like_a_folder(self) -> None:
        files = file_names(["x.jpg", "x.png/y.jpg"], ".png")
        assert files["x.jpg"] == "x.jpg.png"

    def test_a_line_end_is_printed_as_two_signs(self) -> None:
        assert printable("a\nb\x1b[31m\\é") == "a\\nb\\x1b[31m\\\\é"

    def test_a_name_with_a_line_end_goes_to_a_file(self, tmp_path: Path) -> None:
        unpacked(archive_of("two\nlines.jpg"), tmp_path)
        assert os.listdir(tmp_path) == ["two\nlines.png"]


class TestSalvage:
    def salvaged(self, data: bytes, root: Path, *patterns: str) -> tuple[list[str], dict[str, str]]:
        results = list(unpack_salvaged(FileObject(io.BytesIO(data)), LosslessDecoder(), PictureFolder(root), patterns))
        return [each.name for each in results if each.path], {
            each.name: each.reason for each in results if not each.path
        }

    def test_cut_short_it_gives_what_is_whole_and_names_the_others(self, tmp_path: Path) -> None:
        data = archive_bytes(range(5))
        extents = [row.extent for _, row in reader_of(data).members()]
        done, lost = self.salvaged(data[: extents[3].at + 10], tmp_path)
        assert done == [f"folder/photo-{seed}.jpg" for seed in range(3)]
        assert list(lost) == ["folder/photo-3.jpg"]
        assert "cut short" in lost["folder/photo-3.jpg"]
        assert np.array_equal(np.asarray(Image.open(tmp_path / "folder" / "photo-2.png")), pixels(2))

    def test_flipped_bits_lose_one_photo_with_an_index_and_without(self, tmp_path: Path) -> None:
        data = bytearray(archive_bytes(range(5)))
        data[reader_of(bytes(data)).stream_row("folder/photo-1.jpg").extent.at + 50] ^= 4
        for number, damaged in enumerate((bytes(data), bytes(data[:-20]), b"??" + bytes(data[2:]))):
            done, lost = self.salvaged(damaged, tmp_path / str(number))
            assert len(done) == 4
            assert list(lost) == ["folder/photo-1.jpg"]

    def test_a_damaged_head_of_a_record_loses_one_photo(self, tmp_path: Path) -> None:
        data = bytearray(archive_bytes(range(5))[:-20])
        data[reader_of(archive_bytes(range(5))).stream_row("folder/photo-1.jpg").extent.at - 3] ^= 4
        done, _ = self.salvaged(bytes(data), tmp_path)
        assert done == [f"folder/photo-{seed}.jpg" for seed in (0, 2, 3, 4)]

    def test_names_of_one_stream_are_all_found_without_an_index(self, tmp_path: Path) -> None:
        data = PATH.read_bytes()
        done, lost = self.salvaged(data[:-2].replace(b"\x93CLF", bytes(4)), tmp_path)
        assert (sorted(done), lost) == (sorted(NAMES), {})
        assert np.array_equal(np.asarray(Image.open(tmp_path / "same.png")), pixels(PICTURES["same.tif"]))

    def test_a_torn_tail_is_looked_through(self, tmp_path: Path) -> None:
        data = PATH.read_bytes()[:-30]
        assert len(reader_of(data).names) == 4
        assert sorted(self.salvaged(data, tmp_path)[0]) == sorted(NAMES)

    def test_patterns_select_here_too(self, tmp_path: Path) -> None:
        assert self.salvaged(archive_bytes(range(3))[:-9], tmp_path, "*-1.jpg")[0] == ["folder/photo-1.jpg"]

    def test_what_is_something_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match="nothing in it looks like a photo"):
            self.salvaged(b"something else", tmp_path)
