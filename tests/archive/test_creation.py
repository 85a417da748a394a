"""Packing and adding: what becomes of each photo, and that nothing is lost when they are interrupted."""

import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from clc.archive.album import Album
from clc.archive.creation import add_to_archive, create_archive, part_of
from clc.archive.framing import HEADER_BYTES
from clc.archive.inputs import InputPhoto, Inputs, find_inputs
from clc.archive.plan import ArchivePlan, PlannedPhoto
from clc.archive.soundness import verify_archive
from clc.archive.unpacker import PictureFolder, unpack
from clc.archive.writer import locked, open_archive
from clc.errors import ArchiveError, ImageError, OutputError, TargetError
from clc.images.metadata import Carry
from tests.archive.golden_file import FOLDER
from tests.archive.samples import LosslessCoder, LosslessDecoder, pixels, stream_of, write_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", range(6))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return tmp_path / "a.clca"


def photos_of(path: Path) -> dict[str, np.ndarray]:
    with Album(open_archive(path), LosslessDecoder()) as album:
        return {name: album.pixels(name) for name in album}


def assert_same(path: Path, folder: Path) -> None:
    found = photos_of(path)
    assert sorted(found) == sorted(each.name for each in folder.iterdir())
    assert all(np.array_equal(picture, np.asarray(Image.open(folder / name))) for name, picture in found.items())
    assert [problem for _, problem in verify_archive(open_archive(path), LosslessDecoder()) if problem] == []


class TestCreating:
    def test_every_photo_comes_back_with_its_name_time_and_mode(self, album: Path, folder: Path) -> None:
        summary, size = create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.coded, summary.failed, size) == (6, [], album.stat().st_size)
        assert_same(album, folder)
        row = open_archive(album).member("photo-3.png")
        there = (folder / "photo-3.png").stat()
        assert (row.modified, row.mode, row.original_bytes) == (
            there.st_mtime_ns,
            there.st_mode & 0o7777,
            there.st_size,
        )
        assert not part_of(album).exists()

    def test_a_stream_is_what_the_codec_makes_of_the_photo_alone(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert open_archive(album).streams("photo-2.png")[0] == stream_of(pixels(2))

    def test_the_same_pixels_are_coded_once(self, album: Path, folder: Path) -> None:
        Image.fromarray(pixels(2)).save(folder / "again.webp", lossless=True)
        Image.fromarray(pixels(2)).save(folder / "z.bmp")
        coder = LosslessCoder()
        summary, _ = create_archive(album, find_inputs([str(folder)]), coder)
        assert (summary.coded, summary.same, coder.coded) == (6, 2, 6)
        assert open_archive(album).index.streams == 6
        assert_same(album, folder)

    def test_the_order_is_that_of_the_names_however_many_threads_there_are(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), threads=1)
        one = album.read_bytes()
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), threads=5, overwrite=True)
        assert album.read_bytes() == one

    def test_what_cannot_be_packed_is_named_and_the_rest_is_there(self, album: Path, folder: Path) -> None:
        (folder / "bad.jpg").write_bytes(b"no photo")
        (folder / "cut.png").write_bytes((folder / "photo-1.png").read_bytes()[:100])
        Image.new("RGB", (1, 1)).save(folder / "refused.png")
        Image.new("RGB", (1, 1)).save(folder / "refused.too.png")
        summary, _ = create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        failed = dict(summary.failed)
        assert sorted(failed) == ["bad.jpg", "cut.png", "refused.png", "refused.too.png"]
        assert "too small" in failed["refused.too.png"]
        for name in failed:
            (folder / name).unlink()
        assert_same(album, folder)

    def test_a_huge_photo_is_refused_by_its_header(self, album: Path, folder: Path) -> None:
        coder = LosslessCoder()
        coder.max_pixels = 50
        with pytest.raises(ImageError, match="none of 6 photos"):
            create_archive(album, find_inputs([str(folder)]), coder)
        assert not album.exists()
        assert not part_of(album).exists()

    def test_an_archive_that_is_there_stays(self, album: Path, folder: Path) -> None:
        album.write_text("mine")
        with pytest.raises(OutputError, match="there already"):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert album.read_text() == "mine"

    def test_an_output_that_is_a_photo_is_refused(self, folder: Path) -> None:
        with pytest.raises(OutputError, match="would be lost"):
            create_archive(folder / "photo-1.png", find_inputs([str(folder)]), LosslessCoder(), overwrite=True)

    def test_two_at_once_are_refused(self, album: Path, folder: Path) -> None:
        with locked(part_of(album), create=True), pytest.raises(ArchiveError, match="another process"):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder())

    def test_exif_comes_back_and_equal_blocks_are_held_once(self, album: Path, folder: Path, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[271] = "A camera " * 30
        for seed in range(6):
            Image.fromarray(pixels(seed)).save(folder / f"photo-{seed}.png", exif=exif)
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        row = open_archive(album).member("photo-3.png")
        assert len(row.carried) > 270
        with Album(open_archive(album), LosslessDecoder()) as photos:
            assert photos["photo-3.png"].getexif()[271] == exif[271]
        results = unpack(open_archive(album), LosslessDecoder(), PictureFolder(tmp_path / "out"), ["photo-5.png"])
        (unpacked,) = results
        assert Image.open(unpacked.path).getexif()[271] == exif[271]
        kept = album.stat().st_size
        stripped = LosslessCoder()
        stripped.settings = replace(stripped.settings, carry=Carry(strip=True))
        create_archive(album, find_inputs([str(folder)]), stripped, overwrite=True)
        assert open_archive(album).member("photo-3.png").carried == b""
        assert 0 < kept - album.stat().st_size < 300

    def test_two_photos_of_one_name_are_not_both_packed(self, album: Path) -> None:
        held = Inputs([InputPhoto("a", data=_png(1)), InputPhoto("a", data=_png(2))])
        summary, _ = create_archive(album, held, LosslessCoder())
        assert (summary.coded, [name for name, _ in summary.failed]) == (1, ["a"])


def _png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(seed)).save(file, "PNG")
    return file.getvalue()


class Stop(Exception):  # noqa: N818
    """Comes in the middle."""


def stop_after(count: int):
    def report(summary) -> None:
        if summary.seen == count:
            raise Stop

    return report


class TestReferences:
    PLAN: ClassVar = ArchivePlan(
        {f"photo-{seed}.png": PlannedPhoto(("photo-4.png", "photo-2.png")) for seed in (0, 3)}
        | {"photo-4.png": PlannedPhoto(finer=20)},
        {},
    )

    def test_key_photos_come_first_and_the_coder_gets_their_streams(self, album: Path, folder: Path) -> None:
        coder = LosslessCoder()
        create_archive(album, find_inputs([str(folder)]), coder, plan=self.PLAN)
        archive = open_archive(album)
        assert archive.names[:2] == ("photo-2.png", "photo-4.png")
        assert archive.stream_row("photo-0.png").parents == archive.stream_row("photo-3.png").parents == (1, 0)
        assert archive.stream_row("photo-1.png").parents == ()
        keys = [stream_of(pixels(4)), stream_of(pixels(2))]
        assert coder.keys == {stream_of(pixels(seed)): keys for seed in (0, 3)}
        assert_same(album, folder)

    def test_interrupted_it_goes_on(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), plan=self.PLAN)
        whole = album.read_bytes()
        with pytest.raises(Stop):
            create_archive(
                album.with_name("b.clca"),
                find_inputs([str(folder)]),
                LosslessCoder(),
                plan=self.PLAN,
                report=stop_after(4),
            )
        summary, _ = create_archive(
            album.with_name("b.clca"), find_inputs([str(folder)]), LosslessCoder(), plan=self.PLAN
        )
        assert summary.reused == 4
        assert album.with_name("b.clca").read_bytes() == whole

    def test_a_key_photo_that_cannot_be_finer_is_as_fine_as_the_others(self, album: Path, folder: Path) -> None:
        class Limited(LosslessCoder):
            def code(self, picture, target, keys=(), *, effort=0):
                if target.value > 50:
                    raise TargetError("no quality gives that")
                return super().code(picture, target, keys, effort=effort)

        summary, _ = create_archive(album, find_inputs([str(folder)]), Limited(), plan=self.PLAN)
        assert summary.failed == []
        assert_same(album, folder)

    def test_without_its_key_photo_a_photo_is_coded_with_what_is_left(self, album: Path, folder: Path) -> None:
        (folder / "photo-4.png").write_bytes(b"no photo")
        summary, _ = create_archive(album, find_inputs([str(folder)]), LosslessCoder(), plan=self.PLAN)
        assert [name for name, _ in summary.failed] == ["photo-4.png"]
        assert open_archive(album).stream_row("photo-0.png").parents == (0,)


class TestGoingOn:
    def test_what_was_coded_is_not_coded_again(self, album: Path, folder: Path) -> None:
        with pytest.raises(Stop):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(4))
        assert not album.exists()
        coder = LosslessCoder()
        summary, size = create_archive(album, find_inputs([str(folder)]), coder)
        assert (summary.reused, summary.coded, coder.coded) == (4, 2, 2)
        assert_same(album, folder)
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), overwrite=True)
        assert album.stat().st_size == size  # nothing is wasted

    def test_a_photo_that_changed_meanwhile_is_coded_anew(self, album: Path, folder: Path) -> None:
        with pytest.raises(Stop):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(4))
        Image.fromarray(pixels(77)).save(folder / "photo-1.png")
        summary, _ = create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.reused, summary.coded) == (3, 3)
        assert_same(album, folder)

    def test_streams_of_photos_that_are_gone_are_counted(self, album: Path, folder: Path) -> None:
        with pytest.raises(Stop):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(4))
        (folder / "photo-1.png").unlink()
        Image.fromarray(pixels(77)).save(folder / "photo-2.png")
        summary, size = create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.reused, summary.coded, summary.unused) == (2, 3, 2)
        assert summary.unused_bytes == len(stream_of(pixels(1))) + len(stream_of(pixels(2)))
        assert_same(album, folder)
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), overwrite=True)
        assert size - album.stat().st_size >= summary.unused_bytes

    def test_what_another_release_began_is_refused_unless_restarted(self, album: Path, folder: Path) -> None:
        part_of(album).write_bytes((FOLDER / "version-1.clca").read_bytes()[:2000])
        with pytest.raises(ArchiveError, match="another release"):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        create_archive(album, find_inputs([str(folder)]), LosslessCoder(), restart=True)
        assert_same(album, folder)

    def test_with_other_settings_it_is_refused_unless_restarted(self, album: Path, folder: Path) -> None:
        with pytest.raises(Stop):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(4))
        with pytest.raises(ArchiveError, match=r"another model or quality.*--force"):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(30.0))
        summary, _ = create_archive(album, find_inputs([str(folder)]), LosslessCoder(30.0), restart=True)
        assert (summary.reused, summary.coded) == (0, 6)
        assert_same(album, folder)

    def test_a_file_of_that_name_that_is_no_archive_is_left_alone(self, album: Path, folder: Path) -> None:
        part_of(album).write_text("my notes, which are important")
        with pytest.raises(ArchiveError, match="move it away"):
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(), restart=True)
        assert part_of(album).read_text().startswith("my notes")

    def test_cut_anywhere_it_goes_on(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        whole = album.read_bytes()
        album.unlink()
        chance = random.Random(0)
        for end in [0, 1, HEADER_BYTES, len(whole), *(chance.randrange(len(whole)) for _ in range(20))]:
            part_of(album).write_bytes(whole[:end])
            create_archive(album, find_inputs([str(folder)]), LosslessCoder(), overwrite=True)
            assert album.read_bytes() == whole


class TestAdding:
    def test_new_photos_come_behind_and_old_ones_are_left_out(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        before = album.read_bytes()
        write_photos(folder, range(6, 8))
        summary, _ = add_to_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.coded, summary.already) == (2, 6)
        assert album.read_bytes()[: len(before)] == before
        assert_same(album, folder)

    def test_nothing_new_writes_nothing(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        before = album.read_bytes()
        add_to_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert album.read_bytes() == before

    def test_the_same_file_under_another_name_takes_no_stream(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        (folder / "copy.png").write_bytes((folder / "photo-2.png").read_bytes())
        summary, _ = add_to_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.same, summary.coded) == (1, 0)
        summary, _ = add_to_archive(album, find_inputs([str(folder / "photo-3.png")]), LosslessCoder())
        assert summary.already == 1
        (folder / "finer.png").write_bytes((folder / "photo-2.png").read_bytes())
        summary, _ = add_to_archive(album, find_inputs([str(folder)]), LosslessCoder(90.0))
        assert (summary.same, summary.coded) == (0, 1)  # another quality is another stream
        assert_same(album, folder)

    def test_the_same_pixels_beside_a_known_file_take_no_stream(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        (folder / "a-copy.png").write_bytes((folder / "photo-2.png").read_bytes())
        Image.fromarray(pixels(2)).save(folder / "b-copy.bmp")
        Image.fromarray(pixels(3)).save(folder / "q-copy.bmp")  # beside a member
        summary, _ = add_to_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.already, summary.same, summary.coded) == (6, 3, 0)
        assert_same(album, folder)

    def test_another_photo_of_a_name_that_is_there_is_refused(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        Image.fromarray(pixels(50)).save(folder / "photo-2.png")
        summary, _ = add_to_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert [name for name, _ in summary.failed] == ["photo-2.png"]
        assert np.array_equal(photos_of(album)["photo-2.png"], pixels(2))

    def test_interrupted_it_is_the_old_archive_and_goes_on(self, album: Path, folder: Path) -> None:
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
        write_photos(folder, range(6, 12))
        with pytest.raises(Stop):
            add_to_archive(album, find_inputs([str(folder)]), LosslessCoder(), report=stop_after(10))
        assert len(photos_of(album)) == 6
        assert open_archive(album).torn > 0
        summary, _ = add_to_archive(album, find_inputs([str(folder)]), LosslessCoder())
        assert (summary.reused, summary.coded) == (4, 2)
        assert open_archive(album).torn == 0
        assert_same(album, folder)


def test_a_full_disk_leaves_what_was_there_and_is_gone_on_with(album: Path, folder: Path) -> None:
    create_archive(album, find_inputs([str(folder)]), LosslessCoder())
    before = album.stat().st_size
    write_photos(folder, range(6, 12))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for target in ("pack", "add"):
        path = album if target == "add" else album.with_name("b.clca")
        make = add_to_archive if target == "add" else create_archive
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before + 700, limits[1]))  # Python ignores SIGXFSZ
            with pytest.raises(OutputError, match=r"File too large.*make room.*goes on"):
                make(path, find_inputs([str(folder)]), LosslessCoder())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert len(photos_of(album)) == 6
        summary, _ = make(path, find_inputs([str(folder)]), LosslessCoder())
        assert summary.reused > 0
        assert_same(path, folder)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["pack", "add"])
def test_killed_at_random_moments_nothing_is_lost(album: Path, folder: Path, what: str) -> None:
    if what == "add":
        create_archive(album, find_inputs([str(folder)]), LosslessCoder())
    write_photos(folder, range(6, 40))
    chance = random.Random(what)
    endings = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.archive.packer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as packer:
        assert packer.stdin is not None
        assert packer.stdout is not None
        for _ in range(6):
            print(what, album, folder, sep="\t", file=packer.stdin, flush=True)
            child = int(packer.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.25))
            os.kill(child, signal.SIGKILL)
            endings.append(int(packer.stdout.readline()))
            if what == "add":
                assert len(open_archive(album).names) in (6, 40)
                assert not [problem for _, problem in verify_archive(open_archive(album)) if problem]
        assert endings.count(signal.SIGKILL) > 2
        print(what, album, folder, sep="\t", file=packer.stdin, flush=True)
        packer.stdin.close()
    assert_same(album, folder)
