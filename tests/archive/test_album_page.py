"""The page about an archive: what it says, that names stay text, and how it looks in a real browser."""

import base64
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clc.archive.album_page
from clc.archive.album import Album, StoreStreamDecoder
from clc.archive.album_page import KEY_PIXELS, PHOTO_PIXELS, render_album_page, write_album_page
from clc.archive.alternatives import Alternatives, alternatives, chosen
from clc.archive.creation import create_archive
from clc.archive.groups import grouped, predicted_alone
from clc.archive.inputs import find_inputs
from clc.archive.packer import PackSummary
from clc.archive.writer import open_archive
from clc.errors import OutputError
from clc.evaluation.codecs.builtin import Avif
from clc.images.psnr import psnr
from tests.archive.samples import LosslessCoder, LosslessDecoder, archive_bytes, bundled_crops, reader_of, write_photos
from tests.archive.test_key_photos import coder
from tests.archive.test_planning import again
from tests.evaluation.chromium import CHROMIUM, Browser, browser

pytestmark = pytest.mark.medium

HOSTILE = '<script>hostile() & "quoted".png'
LONG = f"{'long' * 40}.png"
CAMERA = ("camera-0.png", "camera-1.png", HOSTILE, LONG)
TWIN, BROKEN = "twin <i>of.png", "broken <b>.jpg"


@dataclass(frozen=True)
class Packed:
    """An archive, and the folder that it was made from."""

    path: Path
    folder: Path
    summary: PackSummary
    measured: dict[str, Alternatives]

    def open(self) -> Album:
        return Album(open_archive(self.path), StoreStreamDecoder())

    def page(self) -> str:
        with self.open() as album:
            return render_album_page(album, plan=self.summary.plan, measured=self.measured, failed=self.summary.failed)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """Four photos of one camera, one of them twice, a stranger, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    place, stranger = bundled_crops()
    for seed, name in enumerate(CAMERA):
        Image.fromarray(again(place, seed, noise=1.0)).save(folder / name)
    Image.fromarray(stranger).save(folder / "stranger.png")
    (folder / TWIN).write_bytes((folder / "stranger.png").read_bytes())
    (folder / BROKEN).write_bytes(b"no photo")
    path, inputs = folder.parent / "album <b>.clca", find_inputs([str(folder)])
    summary, _ = create_archive(path, inputs, coder())
    with Album(open_archive(path), StoreStreamDecoder()) as album:
        names = [picture.name for picture in grouped(album.archive).pictures]
        measured = alternatives(album, inputs, names, max_pixels=2**20)
    return Packed(path, folder, summary, measured)


@pytest.fixture(scope="module")
def page(packed: Packed) -> str:
    return packed.page()


def text(part: str) -> str:
    """What is read."""
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", part, flags=re.DOTALL)).split())


def figures(page: str) -> dict[str, str]:
    """What stands below each picture, by the picture's alternative text."""
    parts = re.findall(r"<figure>(.*?)</figure>", page, flags=re.DOTALL)
    return {html.unescape(re.findall(r'alt="([^"]*)"', part)[0]): text(part) for part in parts}


def number(pattern: str, part: str) -> int:
    return int(re.findall(pattern + r" ([\d,]+)", part)[0].replace(",", ""))


def test_every_picture_is_shown_with_its_bytes(packed: Packed, page: str) -> None:
    shown = figures(page)
    assert set(shown) == {*CAMERA, "stranger.png"}
    with packed.open() as album:
        for name, part in shown.items():
            assert part.startswith(f"{name} 224×160 bytes {album.info(name)[1].extent.length:,} JPEG")
    assert f"the same picture: {TWIN}" in shown["stranger.png"]


def test_those_that_refer_to_a_key_photo_stand_beside_it(packed: Packed, page: str) -> None:
    with packed.open() as album:
        (group,) = grouped(album.archive).groups
    section = re.findall(r'<section class="card group".*?</section>', page, flags=re.DOTALL)[0]
    names = list(figures(section))
    assert names[0] == group.key.name
    assert set(names) == set(CAMERA)
    assert list(figures(page))[-1] == "stranger.png"
    assert "Photos that stand alone stranger.png" in text(page)
    assert f"3 photos refer to it: {group.referring_bytes:,} bytes" in text(section)


def test_pictures_are_the_decoded_ones_and_the_key_photo_is_larger(packed: Packed, page: str) -> None:
    pictures = re.findall(r'src="data:image/webp;base64,([^"]*)" width="(\d+)" height="(\d+)" alt="([^"]*)"', page)
    sizes = {}
    with packed.open() as album:
        for data, width, height, name in pictures:
            image = Image.open(io.BytesIO(base64.b64decode(data)))
            assert image.size == (int(width), int(height))
            decoded = album[html.unescape(name)].resize(image.size)
            assert psnr(np.asarray(image.convert("RGB")), np.asarray(decoded)) > 24
            sizes[html.unescape(name)] = max(image.size)
        key = grouped(album.archive).groups[0].key.name
    assert sizes == {name: min(KEY_PIXELS, 224) if name == key else PHOTO_PIXELS for name in sizes}


def test_avif_is_at_the_same_psnr(packed: Packed, page: str) -> None:
    name, avif = "stranger.png", Avif()
    photo = np.asarray(Image.open(packed.folder / name))
    with packed.open() as album:
        decibels = psnr(photo, album.pixels(name))
    shown = number("AVIF", figures(page)[name])
    files = [avif.encode(photo, quality) for quality in range(1, 100, 3)]
    below = max(len(file) for file in files if psnr(photo, avif.decode(file)) < decibels)
    above = min(len(file) for file in files if psnr(photo, avif.decode(file)) >= decibels)
    assert min(below, above) <= shown <= max(below, above)
    assert f"PSNR {decibels:.2f} dB" in figures(page)[name]


def test_the_head_adds_up(packed: Packed, page: str) -> None:
    head = text(page[: page.index("</header>")])
    assert "Photos 6 5 pictures" in head
    assert number("Bytes of the archive", head) == packed.path.stat().st_size
    files = [packed.folder / name for name in (*CAMERA, "stranger.png", TWIN)]
    assert number("Bytes of the files before", head) == sum(file.stat().st_size for file in files)
    for codec in ("JPEG", "AVIF"):
        parts = [number(codec, part) for part in figures(page).values()]
        assert abs(number(f"{codec} of each at the same PSNR", head) - sum(parts)) <= len(parts)
    assert "Estimated" not in head
    assert "sample" not in head


def test_what_leaving_out_the_key_photo_changes_is_predicted(packed: Packed, page: str, tmp_path: Path) -> None:
    create_archive(tmp_path / "alone.clca", find_inputs([str(packed.folder)]), coder(references=False))
    alone = open_archive(tmp_path / "alone.clca")
    with packed.open() as album:
        (group,) = grouped(album.archive).groups
    wanted = sum(alone.stream_row(picture.name).extent.length for picture in group.pictures)
    predicted = predicted_alone(group, packed.summary.plan)
    assert predicted == pytest.approx(wanted, rel=0.2)
    change = round(abs(predicted - group.referring_bytes - group.key.bytes))
    assert f"would save {group.key.bytes:,} bytes; alone, the others would take about {round(predicted):,}" in text(
        page
    )
    assert re.search(rf"the archive about {change:,} bytes (larger|smaller) \(predicted\)", text(page))


def test_of_a_sample_its_size_is_said_and_the_sum_estimated_by_pixels(packed: Packed) -> None:
    some = {name: packed.measured[name] for name in chosen(sorted(packed.measured), 2)}
    page = replace(packed, measured=some).page()
    assert "measured for a sample of 2 of 5 pictures" in text(page)
    assert f"about {sum(each.avif or 0 for each in some.values()) * 5 / 2:,.0f} The archive" in text(page)
    assert "Estimated by pixels, from 2 of 5 pictures." in text(page)
    assert sum("AVIF" in part for part in figures(page).values()) == 2


def test_without_the_files_and_the_plan_it_says_what_it_does_not_know(packed: Packed) -> None:
    with packed.open() as album:
        page = render_album_page(album)
    assert "JPEG and AVIF would take is not measured" in text(page)
    assert "leaving out a key photo would change is not known here" in text(page)
    assert "predicted" not in page
    assert set(figures(page)) == {*CAMERA, "stranger.png"}


def test_names_stay_text_and_failures_are_named(page: str) -> None:
    assert not re.search(r"<(script|i|b)>(hostile|of|\.)", page)
    assert f"Not packed {BROKEN} : not an image" in text(page)
    assert "<title>CLC archive album &lt;b&gt;.clca</title>" in page


def test_it_has_no_script_and_loads_nothing(page: str) -> None:
    assert "<script" not in page
    assert set(re.findall(r'(?:src|href)="(.{10})', page)) == {"data:image"}
    assert not re.search(r"url\(|@import|https?:", page)


def test_a_file_that_changed_is_not_compared(packed: Packed, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "others", [])
    Image.fromarray(bundled_crops()[0]).save(folder / "stranger.png")
    with packed.open() as album:
        assert alternatives(album, find_inputs([str(folder)]), ["stranger.png"], max_pixels=2**20) == {}


def test_where_the_archive_is_lossless_nothing_is_compared(tmp_path: Path) -> None:
    inputs = find_inputs([str(write_photos(tmp_path / "photos", range(2)))])
    create_archive(tmp_path / "a.clca", inputs, LosslessCoder())
    with Album(open_archive(tmp_path / "a.clca"), LosslessDecoder()) as album:
        measured = alternatives(album, inputs, album.archive.names, max_pixels=2**20)
        page = render_album_page(album, measured=measured)
    assert all("PSNR lossless" in part for part in figures(page).values())
    assert "of each at the same PSNR" not in page


def test_a_damaged_photo_is_named_with_the_reason() -> None:
    data = bytearray(archive_bytes())
    data[reader_of(bytes(data)).stream_row("folder/photo-3.jpg").extent.at + 20] ^= 1
    page = render_album_page(Album(reader_of(bytes(data)), LosslessDecoder()))
    assert page.count("<img") == 4
    assert "folder/photo-3.jpg is damaged" in text(page)


def test_of_many_photos_some_are_shown_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clc.archive.album_page, "SHOWN", 2)
    album = Album(reader_of(archive_bytes()), LosslessDecoder())
    page = render_album_page(album)
    rest = sum(album.info(name)[1].extent.length for name in album.archive.names[2:])
    assert page.count("<img") == 2
    assert f"3 more pictures, {rest:,} bytes: not shown" in text(page)


def test_a_page_that_is_there_is_replaced_only_if_asked(tmp_path: Path) -> None:
    album = Album(reader_of(archive_bytes()), LosslessDecoder())
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        write_album_page(tmp_path / "page.html", album)
    write_album_page(tmp_path / "page.html", album, overwrite=True)
    assert (tmp_path / "page.html").read_text() == render_album_page(album)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH; apt-get install chromium")
class TestInChromium:
    @pytest.fixture(scope="class")
    def chromium(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
        with browser(tmp_path_factory.mktemp("chromium")) as opened:
            yield opened

    @pytest.fixture(scope="class")
    def file(self, page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("page") / "page.html"
        path.write_text(page, encoding="utf-8")
        return path

    @pytest.mark.parametrize("width", [390, 1280])
    def test_nothing_is_wider_than_the_page_and_all_pictures_are_there(
        self, chromium: Browser, file: Path, width: int
    ) -> None:
        chromium.open(file, width=width)
        assert chromium.evaluate("innerWidth") == width
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        right = "Math.max(...[...document.body.querySelectorAll('*')].map(e => e.getBoundingClientRect().right))"
        assert chromium.evaluate(right) <= width
        assert chromium.evaluate("[...document.images].filter(i => i.complete && i.naturalWidth > 0).length") == 5

    def test_it_asks_the_network_for_nothing_and_has_no_errors(self, chromium: Browser, file: Path) -> None:
        chromium.events.clear()
        chromium.open(file)
        requests = [each for each in chromium.events if each["method"] == "Network.requestWillBeSent"]
        assert {each["params"]["request"]["url"].partition(":")[0] for each in requests} <= {"file", "data"}
        faults = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        assert [each for each in chromium.events if each["method"] in faults] == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_stands_out_in_light_and_dark(self, chromium: Browser, file: Path, scheme: str) -> None:
        chromium.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        chromium.open(file)
        ground, ink, card, faint = (
            luminance(chromium.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}"))
            for where, what in (
                ("body", "backgroundColor"),
                ("body", "color"),
                (".card", "backgroundColor"),
                ("dt", "color"),
            )
        )
        assert (ground > 0.5) == (scheme == "light")
        assert contrast(ground, ink) > 7
        assert contrast(card, faint) > 4.5


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    levels = np.array([int(each) for each in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: float, second: float) -> float:
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)
