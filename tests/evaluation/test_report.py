import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from PIL import Image

from clc.errors import OutputError
from clc.evaluation.report import comparisons, render_report, write_report
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, to_table
from clc.evaluation.summary import SummaryRow
from clc.store import Kind, Recipe, Store, Version

HOSTILE = """<script>alert("x")</script>&'.jpg"""
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Parses strictly: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def version(run, tmp_path_factory, photos_of, picture):
    photos = photos_of({HOSTILE: picture(0), "b": picture(1)})
    return run(Store(tmp_path_factory.mktemp("store")), photos, about={"steps": "1 < 2"}).version


@pytest.fixture
def page(version):
    return render_report(version)


def test_the_page_is_well_formed_and_says_what_was_measured(page, version):
    text = Page(page).text

    for expected in (version.short_id, "2 photos", "clc, no references", "JPEG", "WebP", "steps 1 < 2", "photos/"):
        assert expected in text


def test_the_page_loads_nothing_and_runs_nothing(page):
    elements = Page(page).elements

    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in elements}
    for _, attributes in elements:
        for name in ("src", "href", "srcset", "style"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?://", page)


def test_what_comes_from_photos_is_escaped(page):
    assert "<script" not in page
    assert HOSTILE in Page(page).text
    assert any(HOSTILE in (attributes.get("alt") or "") for _, attributes in Page(page).elements)


def test_pictures_are_embedded_image_references_reconstruction(page):
    pictures = [attributes for tag, attributes in Page(page).elements if tag == "img"]

    shown = [attributes["alt"].rpartition(": ")[2] for attributes in pictures]
    assert shown == ["original", "references", "clc", "clc, no references", "JPEG", "WebP"]
    for attributes in pictures:
        data = base64.b64decode(attributes["src"].removeprefix("data:image/webp;base64,"))
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (int(attributes["width"]), int(attributes["height"]))


def test_a_version_always_gives_the_same_page(page, version):
    assert render_report(version) == page


def test_gaps_are_named(run, store, photos_of, picture):
    black = np.zeros((64, 64, 3), np.uint8)
    version = run(store, photos_of({"black": black, "a": picture(0), "broken": b""})).version

    text = " ".join(Page(render_report(version)).text.split())
    assert "over the 1 photo of 2 that every codec has coded" in text
    assert "black, clc: nothing in the dictionary is like a black tile" in text
    assert "broken could not be read" in text


def test_a_page_without_a_common_photo_says_that_there_are_no_means(run, store, photos_of):
    version = run(store, photos_of({"black": np.zeros((64, 64, 3), np.uint8)})).version

    assert "No photo was coded by every codec" in Page(render_report(version)).text


def means(**rates: float) -> list[SummaryRow]:
    """Curves of four points with the same qualities; `rates` multiplies the bits of each codec."""
    names = {"bare": "clc, no references"}
    return [
        SummaryRow(names.get(codec, codec), step, 3, rate * 0.1 * 2**step, 25.0 + 3 * step, 0.9 + 0.02 * step, 3)
        for (codec, rate), step in product(rates.items(), range(4))
    ]


def published(store: Store, rows: list[SummaryRow]) -> Version:
    """A results version of one photo with these numbers."""
    images = [
        ImageRow("a", row.codec, row.quality, 100, 100, round(row.bpp * 1250), row.bpp, row.psnr, row.ms_ssim, 1.0, 1.0)
        for row in rows
    ]
    with store.draft(Kind.RESULTS, Recipe(stage="evaluate", stage_version=1)) as draft:
        with draft.table("images", IMAGES_SCHEMA) as table:
            table.write(to_table(images, IMAGES_SCHEMA))
        with draft.table("panels", PANELS_SCHEMA) as table:
            table.write(to_table([], PANELS_SCHEMA))
        draft.attributes |= {
            "photos": 1,
            "codecs": [
                {"name": codec, "qualities": [0, 1, 2, 3]} for codec in dict.fromkeys(row.codec for row in rows)
            ],
            "model": "e" * 16,
            "dictionary": None,
            "panel_quality": 50.0,
            "about": {},
        }
        draft.statistics |= {"source": "numbers", "skipped": [], "failures": []}
        return draft.publish()


def test_clc_is_compared_with_every_rival_and_with_itself_without_references():
    compared = comparisons(means(clc=0.8, bare=1.0, JPEG=1.6, WebP=0.4))

    assert [(each.test, each.anchor) for each in compared] == [
        ("clc", "JPEG"), ("clc", "WebP"), ("clc", "clc, no references"),
    ]  # fmt: skip
    assert [each.psnr.mean for each in compared] == pytest.approx([-0.5, 1.0, -0.2])
    assert [each.ms_ssim.mean for each in compared] == pytest.approx([-0.5, 1.0, -0.2])


def test_curves_that_cannot_be_compared_have_no_answer():
    better = [replace(row, psnr=row.psnr + 30.0) for row in means(JPEG=1.0)]

    assert comparisons(means(clc=1.0) + better)[0].psnr is None


@pytest.mark.parametrize(
    ("rate", "change", "expected"),
    [
        (0.8, "20.0 % smaller", "References save more bits than they cost"),
        (1.3, "30.0 % larger", "References cost more bits than they save"),
        (1.0, "equal in size", "References neither save nor cost bits"),
    ],
)
def test_the_page_says_plainly_whether_references_help(rate, change, expected, store):
    text = Page(render_report(published(store, means(clc=rate, bare=1.0)))).text

    assert change in text.replace("\N{NO-BREAK SPACE}", " ")
    assert expected in text


def test_a_report_is_written_whole_and_replaces_an_older_one(version, tmp_path):
    path = tmp_path / "reports" / "report.html"
    write_report(version, path)
    write_report(version, path)

    assert path.read_text("utf-8") == render_report(version)
    assert list(path.parent.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_an_output_error(version, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OutputError, match="name another file"):
        write_report(version, tmp_path / "file" / "report.html")
