"""The benchmark of collections: what it holds out, what it counts, and what it does once only."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import reference_latents
from clc.images import open_source
from clc.images.encode import PictureFormat, encode
from clc.images.patch import pixels_sha256
from clc.store import Kind, Store
from tests.conftest import picture

# Where the package is installed there are no benchmarks.
collections = pytest.importorskip("benchmarks.collections")
held_out = pytest.importorskip("benchmarks.held_out")
rivals = pytest.importorskip("benchmarks.rivals")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def names(source: object, start: int = 0, stop: int | None = None) -> list[str]:
    return [Path(photo.image_id).stem for photo in source.encoded(start, stop)]


def test_every_third_photo_is_held_out(folder: Path) -> None:
    source = open_source(f"folder:{folder}")
    coded, shown = (held_out.Part(source, held_out=each) for each in (True, False))
    assert names(coded) == ["1", "4", "7"]
    assert names(shown) == ["0", "2", "3", "5", "6"]
    assert coded.spec != shown.spec


def test_positions_and_limits_are_those_of_the_part(folder: Path) -> None:
    source = open_source(f"folder:{folder}")
    assert names(held_out.Part(source, held_out=False), 1, 3) == ["2", "3"]
    few = held_out.Part(source, held_out=False, limit=3)
    assert names(few) == ["0", "2", "3"]
    assert names(few, 2) == ["3"]


def point(kept: float, size: float, decibels: float) -> object:
    return collections.Point(kept, size, decibels, *[float("nan")] * 3)


def rows(**ways: tuple[float, list[tuple[float, float]]]) -> object:
    """Of one photo: bytes kept, and bytes and PSNR at each quality, by way."""
    return {
        (way, float(quality)): [point(kept, *each)]
        for way, (kept, points) in ways.items()
        for quality, each in enumerate(points)
    }


def test_totals_are_what_is_kept_and_all_files_at_one_psnr() -> None:
    heading, found = collections.totals(
        rows(coarse=(1_000, [(100, 30), (1_600, 34)]), fine=(50_000, [(10, 30), (160, 34)]))
    )
    assert heading == ("dB", "references", "a photo", "20 photos", "100 photos", "1,000 photos")
    assert found == [
        ("31.00", "coarse", "200", "5,000", "21,000", "201,000"),
        ("31.00", "fine", "20", "50,400", "52,000", "70,000"),
        ("32.00", "coarse", "400", "9,000", "41,000", "401,000"),
        ("32.00", "fine", "40", "50,800", "54,000", "90,000"),
        ("33.00", "coarse", "800", "17,000", "81,000", "801,000"),
        ("33.00", "fine", "80", "51,600", "58,000", "130,000"),
    ]


def test_photos_coded_alone_do_not_move_the_psnr_and_are_left_out_where_they_do_not_reach_it() -> None:
    _, found = collections.totals(rows(none=(0, [(500, 20), (900, 32)]), coarse=(1_000, [(100, 30), (1_600, 34)])))
    assert [row[2] for row in found if row[1] == "coarse"] == ["200", "400", "800"]
    assert [row[2] != "-" for row in found if row[1] == "none"] == [True, True, False]


def test_totals_are_at_the_psnrs_that_are_asked_for() -> None:
    _, found = collections.totals(rows(coarse=(1_000, [(100, 30), (1_600, 34)])), [33, 35])
    assert [row[:4] for row in found] == [("33.00", "coarse", "800", "17,000"), ("35.00", "coarse", "-", "-")]


def test_the_rate_is_compared_with_lossless_references() -> None:
    heading, found = collections.totals(
        rows(coarse=(1_000, [(120, 30), (1_920, 34)]), lossless=(9_000, [(100, 30), (1_600, 34)]))
    )
    assert heading[-1] == "rate, against lossless"
    assert {row[1]: row[-1] for row in found} == {"coarse": "+20.0 %", "lossless": "+0.0 %"}


def test_a_rival_codes_each_quality_once_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = picture(3, 48, 64)
    (avif,) = (each for each in rivals.rivals() if each.name == "AVIF")
    asked = (30.0, 31.0, 31.0)
    expected = [
        rivals.at_decibels(lambda quality: avif.code(quality, [photo]), avif.worst, avif.best, [photo], decibels)
        for decibels in asked
    ]
    coded: list[int] = []
    save = Image.Image.save

    def counted(image: Image.Image, file: object, form: str, *, quality: int, **options: object) -> None:
        coded.append(quality)
        save(image, file, form, quality=quality, **options)

    monkeypatch.setattr(Image.Image, "save", counted)
    beside = collections.Beside(photo, [], ["AVIF"])
    assert [beside.bytes("AVIF", decibels) for decibels in asked] == expected
    assert expected == sorted(expected)
    assert len(coded) == len(set(coded)) > 0
    assert np.isnan(beside.bytes("AVIF video", 30.0))


def view(number: int) -> NDArray[np.uint8]:
    """One place, in which something else is new each time."""
    pixels = picture(0, 512, 512)
    pixels[200:260, 60 * number : 60 * number + 60] = picture(number + 1, 60, 60)
    return pixels


@pytest.mark.medium
def test_photos_are_coded_with_a_dictionary_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {
        "image_id": [f"museum-{number}" for number in range(3)],
        "scene": ["museum"] * 3,
        "split": ["reference"] * 3,
        "image": [encode(view(number), PictureFormat.PNG, name="photo") for number in range(3)],
    }
    pq.write_table(pa.table(columns), tmp_path / "collection-sites.parquet")
    monkeypatch.setenv("CLC_DATA", str(tmp_path))
    work = tmp_path / "work"
    options = "--model tiny --split reference --scenes museum --reference-qualities 60 --qualities 60 --rivals"
    monkeypatch.setattr(sys, "argv", ["collections", *options.split(), "--work", str(work), "--lossless"])
    collections.main()

    store = Store(str(work))
    (made,) = store.versions(Kind.REFERENCES)
    (latents,) = store.versions(Kind.LATENTS)
    (dictionary,) = store.versions(Kind.DICTIONARY)
    (model,) = store.versions(Kind.MODEL)
    assert made.table("pictures")["photo_sha256"].to_pylist() == [pixels_sha256(view(number)) for number in (0, 2)]
    assert latents.id == reference_latents(dictionary, model, store=store).version.id

    printed = capsys.readouterr().out
    assert "museum: 1 photos of split reference, 2 others to choose references from" in printed
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if "|" in line]
    kept, size = ({row[0]: int(row[place].replace(",", "")) for row in cells[2:]} for place in (1, 3))
    files = [sum(each.bytes for each in version.manifest.files.values()) for version in (made, latents, dictionary)]
    assert kept == {"none": 0, "coded at 60": files[0], "lossless": files[1] + files[2]}
    assert size["lossless"] < size["none"]
    assert size["coded at 60"] < size["none"]
