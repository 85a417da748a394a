"""An archive whose photos refer to key photos: packed, read, salvaged, gone on with, by the model that ships."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clc.archive.album import Album, StoreStreamDecoder
from clc.archive.byte_ranges import FileObject
from clc.archive.coding import StoreCoder
from clc.archive.creation import add_to_archive, create_archive, part_of
from clc.archive.describe import describe_members
from clc.archive.inputs import InputPhoto, Inputs, find_inputs
from clc.archive.packer import finer
from clc.archive.planning import plan_for
from clc.archive.records import salvage
from clc.archive.soundness import verify_archive
from clc.archive.writer import open_archive
from clc.codec.decisions.targets import Target
from clc.images import read_image
from clc.images.psnr import psnr
from tests.archive.samples import bundled_crops
from tests.archive.test_creation import Stop, stop_after
from tests.archive.test_planning import again

pytestmark = pytest.mark.medium

CAMERA = [f"camera-{number}.png" for number in range(4)]


def coder(references: bool = True, size: int | None = None) -> StoreCoder:
    return StoreCoder("tiny", Target.choose(quality=30), references=references, size=size)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of one camera, and a stranger."""
    root = tmp_path_factory.mktemp("photos")
    place, stranger = bundled_crops()
    for seed, name in enumerate(CAMERA):
        Image.fromarray(again(place, seed, noise=1.0)).save(root / name)
    Image.fromarray(stranger).save(root / "stranger.png")
    return root


@pytest.fixture(scope="module")
def album(folder: Path) -> Path:
    path = folder.parent / "album.clca"
    create_archive(path, find_inputs([str(folder)]), coder())
    return path


def test_three_refer_to_the_fourth_and_all_come_back(album: Path, folder: Path) -> None:
    archive = open_archive(album)
    parents = {name: archive.stream_row(name).parents for name in archive.names}
    assert sorted(map(len, parents.values())) == [0, 0, 1, 1, 1]
    assert parents["stranger.png"] == ()
    assert not [problem for _, problem in verify_archive(archive, StoreStreamDecoder()) if problem]
    with Album(open_archive(album), StoreStreamDecoder()) as photos:
        for name in photos:
            assert psnr(np.asarray(Image.open(folder / name)), photos.pixels(name)) > 27


def test_the_key_photo_is_coded_with_effort(album: Path, folder: Path) -> None:
    archive = open_archive(album)
    plan = plan_for(find_inputs([str(folder)]), coder())
    (key,) = (name for name in CAMERA if plan[name].finer)
    assert plan[key].effort == 3
    pixels, target = read_image(folder / key), finer(Target.choose(quality=30), plan[key].finer)
    assert archive.stream(archive.stream_row(key), key) == coder().code(pixels, target, effort=3).data
    assert archive.stream(archive.stream_row(key), key) != coder().code(pixels, target).data


def test_it_is_much_smaller_than_with_each_alone(album: Path, folder: Path, tmp_path: Path) -> None:
    _, alone = create_archive(tmp_path / "alone.clca", find_inputs([str(folder)]), coder(references=False))
    assert album.stat().st_size < 0.9 * alone


def test_interrupted_it_goes_on_to_the_same_bytes(album: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.clca"
    with pytest.raises(Stop):
        create_archive(path, find_inputs([str(folder)]), coder(), report=stop_after(3))
    assert part_of(path).exists()
    summary, _ = create_archive(path, find_inputs([str(folder)]), coder())
    assert summary.reused >= 2
    assert path.read_bytes() == album.read_bytes()


def test_without_its_index_every_photo_is_found_with_its_key_photo(album: Path) -> None:
    cut = album.read_bytes()[: open_archive(album).footer.index_at]
    found = {each.name: each for each in salvage(FileObject(io.BytesIO(cut)))}
    assert sorted(len(each.keys) for each in found.values()) == [0, 0, 1, 1, 1]
    decoder = StoreStreamDecoder()
    with Album(open_archive(album), decoder) as photos:
        for name, each in found.items():
            assert each.stream is not None
            stream, *keys = (cut[extent.at : extent.end] for extent in (each.stream, *each.keys))
            assert np.array_equal(np.asarray(decoder.decode(stream, keys)), photos.pixels(name))


@pytest.mark.parametrize("with_index", [True, False])
def test_where_a_key_photo_is_damaged_those_that_refer_to_it_are_lost_by_name(album: Path, with_index: bool) -> None:
    archive = open_archive(album)
    key = next(archive.index.stream(row.parents[0]) for _, row in archive.members() if row.parents)
    data = bytearray(album.read_bytes()[: None if with_index else archive.footer.index_at])
    data[key.extent.at + key.extent.length // 2] ^= 1
    lost = {each.name: each.reason for each in salvage(FileObject(io.BytesIO(bytes(data)))) if each.stream is None}
    assert set(lost) == set(CAMERA)
    assert sum("it refers to" in reason for reason in lost.values()) == 3


def test_a_size_is_filled_and_not_exceeded_by_photos_that_refer(album: Path, folder: Path, tmp_path: Path) -> None:
    wanted = 3 * album.stat().st_size // 2
    path = tmp_path / "sized.clca"
    summary, size = create_archive(path, find_inputs([str(folder)]), coder(size=wanted))
    assert 0.85 * wanted < size <= wanted
    assert (summary.failed, summary.referring) == ([], 3)
    archive = open_archive(path)
    finer = {name: summary.plan[name].finer for name in archive.names}
    qualities = {name: archive.stream_row(name).quality / 100 for name in archive.names}
    (key,) = (name for name in CAMERA if finer[name])
    assert qualities[key] > max(qualities[name] for name in CAMERA if name != key)


def test_what_is_added_refers_to_key_photos_that_are_there(album: Path, folder: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "grows.clca", tmp_path / "new"
    path.write_bytes(album.read_bytes())
    new.mkdir()
    place, stranger = bundled_crops()
    Image.fromarray(again(place, 99, noise=1.0)).save(new / "later.png")
    Image.fromarray(stranger[::-1]).save(new / "upside-down.png")
    add_to_archive(path, find_inputs([str(new)]), coder())
    archive = open_archive(path)
    key = {row.parents for _, row in open_archive(album).members() if row.parents}
    assert {archive.stream_row("later.png").parents} == key
    assert archive.stream_row("upside-down.png").parents == ()
    assert not [problem for _, problem in verify_archive(archive, StoreStreamDecoder()) if problem]


def test_the_pixels_of_a_member_at_another_quality_refer_to_its_key_photo(
    album: Path, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "grows.clca"
    path.write_bytes(album.read_bytes())
    member = next(name for name in CAMERA if open_archive(album).stream_row(name).parents)
    recoded = io.BytesIO()
    Image.open(folder / member).save(recoded, "bmp")
    added = [
        InputPhoto(member, data=(folder / member).read_bytes()),
        InputPhoto("recoded.bmp", data=recoded.getvalue()),
    ]
    summary, _ = add_to_archive(path, Inputs(added), StoreCoder("tiny", Target.choose(quality=40)))
    assert (summary.already, summary.coded) == (1, 1)
    archive = open_archive(path)
    assert archive.stream_row("recoded.bmp").parents == archive.stream_row(member).parents


def test_it_is_said_who_refers_to_whom(album: Path) -> None:
    said = {each["name"]: each["refers_to"] for each in describe_members(open_archive(album))}
    keys = {name for names in said.values() for name in names}
    assert len(keys) == 1
    assert keys < set(CAMERA)
    assert sorted(name for name, names in said.items() if names) == sorted(set(CAMERA) - keys)


def test_going_on_keeps_to_the_size_also_where_what_is_there_is_of_no_use(folder: Path, tmp_path: Path) -> None:
    path, wanted, photos = tmp_path / "sized.clca", 9000, tmp_path / "photos"
    photos.mkdir()
    for name in (*CAMERA[:3], "stranger.png"):
        shutil.copy(folder / name, photos / name)
    with pytest.raises(Stop):
        create_archive(path, find_inputs([str(photos)]), coder(size=wanted), report=stop_after(2))
    (photos / "stranger.png").unlink()
    left = part_of(path).stat().st_size
    (photos / CAMERA[1]).rename(photos / "zz.png")  # so that others refer to the key photo, or another is it
    summary, size = create_archive(path, find_inputs([str(photos)]), coder(size=wanted))
    assert summary.failed == []
    assert summary.reused + summary.unused == 2
    assert 0.8 * wanted < size <= wanted
    assert left < size


def test_a_damaged_key_photo_is_not_referred_to_and_named(
    album: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = open_archive(album)
    key = next(archive.index.stream(row.parents[0]) for _, row in archive.members() if row.parents)
    data = bytearray(album.read_bytes())
    data[key.extent.at + key.extent.length // 2] ^= 1
    path, new = tmp_path / "damaged.clca", tmp_path / "new"
    path.write_bytes(data)
    new.mkdir()
    Image.fromarray(again(bundled_crops()[0], 98, noise=1.0)).save(new / "later.png")
    add_to_archive(path, find_inputs([str(new)]), coder())
    name = next(member.name for member, row in archive.members() if row.extent == key.extent)
    said = next(each.message for each in caplog.records if "damaged in the archive" in each.message)
    assert said.startswith(name)
    assert key.extent.at not in {
        open_archive(path).index.stream(parent).extent.at
        for parent in open_archive(path).stream_row("later.png").parents
    }


def test_the_file_of_a_key_photo_under_another_name_takes_no_stream(album: Path, folder: Path, tmp_path: Path) -> None:
    archive = open_archive(album)
    key = next(row.parents[0] for _, row in archive.members() if row.parents)
    name = next(member.name for member, _ in archive.members() if member.stream == key)
    path = tmp_path / "grows.clca"
    shutil.copy(album, path)
    shutil.copy(folder / name, tmp_path / "again.png")
    summary, _ = add_to_archive(path, find_inputs([str(tmp_path / "again.png")]), coder())
    assert (summary.same, summary.coded) == (1, 0)
    assert open_archive(path).member("again.png").stream == key


@pytest.mark.parametrize("size", [(1, 1), (40, 50)])
def test_tiny_photos_are_neither_key_photos_nor_refer(size: tuple[int, int]) -> None:
    inputs = Inputs(
        [InputPhoto(str(seed), data=png(again(np.full((*size, 3), 99, np.uint8), seed))) for seed in range(4)]
    )
    assert plan_for(inputs, coder()).photos == {}


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()
