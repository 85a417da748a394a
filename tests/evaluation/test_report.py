import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from clc.errors import OutputError, ProfileError
from clc.evaluation.report.page import comparisons, render_report, write_report
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, PanelRow, to_table
from clc.images.patch import decode_patch, encode_patch
from clc.store import Kind, Recipe, Store, Version
from clc.store.shipped import LayeredStore

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
        if tag in {"th", "td"}:
            self.text += " "

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

    for expected in (version.short_id, "2 photos", "clc, no references", "JPEG", "WebP", "steps 1 < 2", "photos"):
        assert expected in text


def test_the_page_loads_nothing_and_runs_only_its_own_script(page):
    elements = Page(page).elements

    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in elements}
    assert [attributes for tag, attributes in elements if tag == "script"] == [{}]
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    for _, attributes in elements:
        for name in ("src", "href", "srcset", "style"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#plot)|@import|https?://(?!www\.w3\.org/2000/svg)", page)


def test_what_comes_from_photos_is_escaped(page):
    assert "<script>alert" not in page
    assert HOSTILE in Page(page).text
    assert any(HOSTILE in (attributes.get("alt") or "") for _, attributes in Page(page).elements)


def test_pictures_are_embedded_image_references_reconstruction(page):
    pictures = [attributes for tag, attributes in Page(page).elements if tag == "img"]

    shown = [attributes["alt"].rpartition(": ")[2] for attributes in pictures]
    assert shown == ["original", "references", "trust in references", "clc", "clc, no references", "JPEG", "WebP"]
    for attributes in pictures:
        data = base64.b64decode(attributes["src"].removeprefix("data:image/webp;base64,"))
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (int(attributes["width"]), int(attributes["height"]))


def test_a_dictionary_without_pictures_costs_the_references_only(run, store, photos_of, picture):
    def no_picture(entry: int) -> np.ndarray:
        return decode_patch(b"")

    page = Page(render_report(run(store, photos_of({"a": picture(0)}), patches_of=no_picture).version))

    shown = [attributes["alt"] for tag, attributes in page.elements if tag == "img"]
    assert shown == [
        f"a: {name}" for name in ("original", "trust in references", "clc", "clc, no references", "JPEG", "WebP")
    ]
    assert "No references are shown: the dictionary is here without pictures of its entries." in page.text


def test_a_version_always_gives_the_same_page(page, version):
    assert render_report(version) == page


def test_gaps_are_named(run, store, photos_of, picture, config, monkeypatch):
    monkeypatch.setenv("PATH", "")
    black = np.zeros((64, 64, 3), np.uint8)
    photos = photos_of({"black": black, "a": picture(0), "broken": b""})
    version = run(store, photos, config=config.model_copy(update={"vvc_qualities": (20,)})).version

    text = " ".join(Page(render_report(version)).text.split())
    assert "over the 1 photo of 2 that every codec has coded" in text
    assert "VVC was not measured: vvencapp and vvdecapp not on PATH" in text
    assert "black, clc: nothing in the dictionary is like a black tile" in text
    assert "broken could not be read" in text


def test_a_page_without_a_common_photo_says_that_there_are_no_means(store):
    one = [row for row in rows(clc=1.0) if row.image_id == "0"]
    other = [row for row in rows(JPEG=1.0) if row.image_id == "1"]

    text = " ".join(Page(render_report(published(store, one + other))).text.split())
    assert "No photo was coded by every codec" in text
    assert "no answer: no photo was coded by both at all their qualities" in text


def rows(photos: int = 6, **rates: float) -> list[ImageRow]:
    """Curves of four points with the same qualities; `rates` multiplies the bits of each codec."""
    names = {"bare": "clc, no references"}
    return [
        ImageRow(
            str(photo), names.get(codec, codec), step, 100, 100, round(rate * 125 * 2**step),
            rate * 0.1 * 2**step, 25.0 + 3 * step, 0.9 + 0.02 * step, 1.0, 1.0,
        )
        for codec, rate in rates.items() for photo in range(photos) for step in range(4)
    ]  # fmt: skip


def kodak(images: list[ImageRow]) -> list[ImageRow]:
    """With the size of Kodak's photos, every other one upright."""
    sides = (512, 768)
    return [replace(row, height=sides[int(row.image_id) % 2], width=sides[1 - int(row.image_id) % 2]) for row in images]


def published(store: Store, images: list[ImageRow], **attributes: object) -> Version:
    """A results version with these numbers, of the photos "same"."""
    recipe = Recipe(stage="evaluate", stage_version=1, config={"of": str(attributes)}, inputs={"photos": "photos/same"})
    with store.draft(Kind.RESULTS, recipe) as draft:
        with draft.table("images", IMAGES_SCHEMA) as table:
            table.write(to_table(images, IMAGES_SCHEMA))
        with draft.table("panels", PANELS_SCHEMA) as table:
            table.write(to_table([], PANELS_SCHEMA))
        draft.attributes |= {
            "photos": len({row.image_id for row in images}),
            "codecs": [
                {"name": codec, "qualities": [0, 1, 2, 3]} for codec in dict.fromkeys(row.codec for row in images)
            ],
            "model": "e" * 16,
            "dictionary": None,
            "panel_quality": 50.0,
            "about": {},
            **attributes,
        }
        draft.statistics |= {"source": "numbers", "skipped": [], "failures": []}
        return draft.publish()


def test_clc_is_compared_with_every_rival_and_with_itself_without_references():
    compared = comparisons(rows(clc=0.8, bare=1.0, JPEG=1.6, WebP=0.4), ["clc", "clc, no references", "JPEG", "WebP"])

    assert [(each.test, each.anchor) for each in compared] == [
        ("clc", "JPEG"), ("clc", "WebP"), ("clc", "clc, no references"),
    ]  # fmt: skip
    assert [each.psnr.rate.mean for each in compared] == pytest.approx([-0.5, 1.0, -0.2])
    assert [each.ms_ssim.rate.mean for each in compared] == pytest.approx([-0.5, 1.0, -0.2])


def test_differences_are_in_a_table_with_their_intervals_or_the_reason_for_none(store):
    better = [replace(row, psnr=row.psnr + 30.0) for row in rows(WebP=1.0)]
    page = Page(render_report(published(store, rows(clc=0.5, JPEG=1.0) + better)))
    text = " ".join(page.text.split())

    assert "clc – JPEG PSNR −50.0 % −50.0 to −50.0 % 25.0 to 34.0 dB −50.0, −50.0 % +3.00 dB" in text
    assert "clc – WebP PSNR no answer: the curves reach 55.0 to 64.0 dB and 25.0 to 34.0 dB" in text


def test_few_photos_have_no_interval(store):
    text = " ".join(Page(render_report(published(store, rows(2, clc=0.5, JPEG=1.0)))).text.split())

    assert "clc – JPEG PSNR −50.0 % none 25.0 to 34.0 dB" in text


def test_published_curves_are_dashed_and_in_a_table_of_their_own(store):
    version = published(store, kodak(rows(24, clc=1.0, JPEG=2.0)))

    page = render_report(version, "kodak")
    without = render_report(version)

    assert page.count('<g class="curve published0 published"') == 1
    assert "stroke-dasharray" in page.partition(".published .line")[2].partition("}")[0]
    assert "Against published points of kodak, which were not measured here" in page
    assert "VTM 9.1" not in without
    differences = Page(page).text.partition("Against published")[0]
    assert "VTM" not in differences


@pytest.mark.parametrize(
    ("images", "dataset", "reason"),
    [
        (kodak(rows(6, clc=1.0)), "kodak", "kodak has 24 photos, these are 6"),
        (rows(24, clc=1.0), "kodak", "768×512 pixels, one of these has 100×100"),
        (rows(clc=1.0), "imagenet", "there are curves of"),
    ],
)
def test_results_of_another_data_set_are_not_compared_with_published_points(store, images, dataset, reason):
    with pytest.raises(ProfileError, match=reason):
        render_report(published(store, images), dataset)


@pytest.mark.parametrize(
    ("rate", "change", "expected"),
    [
        (0.8, "20.0 % smaller", "References save more bits than they cost"),
        (1.3, "30.0 % larger", "References cost more bits than they save"),
        (1.0, "equal in size", "References neither save nor cost bits"),
    ],
)
def test_the_page_says_plainly_whether_references_help(rate, change, expected, store):
    text = Page(render_report(published(store, rows(clc=rate, bare=1.0)))).text

    assert change in text.replace("\N{NO-BREAK SPACE}", " ")
    assert expected in text


def test_the_page_does_not_answer_what_the_interval_leaves_open(store):
    mixed = [
        replace(row, bpp=row.bpp * (1.2 if int(row.image_id) % 2 else 0.79)) for row in rows(clc=1.0)
    ] + rows(bare=1.0)  # fmt: skip

    text = Page(render_report(published(store, mixed))).text

    assert "The interval includes zero" in text
    assert "References save" not in text


def default_model() -> str:
    return LayeredStore("memory://none").get(Kind.MODEL, "default").short_id


def words(version: Version) -> str:
    return " ".join(Page(render_report(version)).text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_headline_says_which_model_and_how_little_it_was_trained(store):
    about = {"preset": "tiny", "steps": 300, "epochs": None}

    assert f"Model {'e' * 16}, preset tiny, 300 steps: file size against quality on 6 photos" in words(
        published(store, rows(clc=1.0), about=about)
    )
    assert "preset tiny, 20 minutes: file size" in words(
        published(store, rows(clc=1.0), about={"preset": "tiny", "minutes": 20, "steps": None})
    )


def test_beside_it_stands_what_the_model_that_ships_gives_on_the_same_photos(store):
    version = published(store, rows(clc=2.0))
    assert f"The model that ships, {default_model()}, has not been measured on these photos in this store" in words(
        version
    )
    assert f"clc evaluate --model {default_model()} --dataset numbers" in words(version)

    with store.draft(Kind.RESULTS, Recipe(stage="other", stage_version=1, inputs={"photos": "photos/other"})) as draft:
        with draft.table("images", IMAGES_SCHEMA) as table:
            table.write(to_table(rows(clc=1.0), IMAGES_SCHEMA))
        draft.attributes |= {"model": default_model(), "codecs": [{"name": "clc", "qualities": [0]}]}
        draft.publish()
    assert "has not been measured on these photos" in words(version)

    published(store, rows(clc=1.0), model=default_model())
    assert (
        f"Beside it, the model that ships, {default_model()}, on the same 6 photos: at equal PSNR files of this one "
        "are 100.0 % larger; at equal MS-SSIM files of this one are 100.0 % larger."
    ) in words(version)


def test_the_model_that_ships_is_named_and_stands_beside_nothing(store):
    text = words(published(store, rows(clc=1.0), model=default_model(), about={"preset": "base", "steps": 0}))

    assert "Model default: file size against quality" in text
    assert "It ships with CLC." in text
    assert "0 steps" not in text
    assert "has not been measured" not in text


def test_no_sentence_speaks_of_one_metric_alone_where_the_other_says_the_opposite(store):
    with_references = [replace(row, psnr=row.psnr + 1.0, ms_ssim=row.ms_ssim - 0.01) for row in rows(clc=1.0)]
    text = words(published(store, with_references + rows(bare=1.0)))

    assert (
        "By PSNR, references save more bits than they cost; by MS-SSIM, references cost more bits than they save."
        in text
    )
    assert "References save more bits than they cost here" not in text
    assert re.search(r"at equal PSNR, .* smaller at the high end\..* At equal MS-SSIM: [0-9.]+ % larger\.", text)


def test_no_time_is_shown_as_none(store):
    quick = [replace(row, encode_seconds=0.00423, decode_seconds=0.125) for row in rows(JPEG=1.0)]
    page = render_report(published(store, quick))

    assert ">0.0042<" in page
    assert ">0.12<" in page
    assert ">0.00<" not in page


def test_photos_are_counted_as_photos(store):
    some = [row for row in rows(clc=1.0, JPEG=2.0) if (row.image_id, row.codec) != ("5", "clc")]
    text = words(published(store, some))

    assert "file size against quality on 5 of 6 photos" in text
    assert f"6 photos, {len(some)} measurements" in text


@pytest.mark.parametrize(
    ("referred", "expected"),
    [
        (False, "No references are shown: they did not pay for this photo."),
        (True, "No references are shown: the dictionary is here without pictures of its entries."),
        (None, "they did not pay for this photo, or the dictionary is here without pictures of its entries."),
    ],
)
def test_why_no_references_are_shown_is_said_where_it_is_known(referred, expected, store, picture):
    shown = encode_patch(picture(0, 64, 64))
    panel = PanelRow("0", "clc", 1.0, 1.0, 30.0, shown, shown, None, None, referred)
    recipe = Recipe(stage="evaluate", stage_version=1)
    with store.draft(Kind.RESULTS, recipe) as draft:
        for name, table_rows, schema in (("images", rows(clc=1.0), IMAGES_SCHEMA), ("panels", [panel], PANELS_SCHEMA)):
            with draft.table(name, schema) as table:
                table.write(to_table(table_rows, schema))
        draft.attributes |= {
            "photos": 6, "model": "e" * 16, "dictionary": "d" * 16, "dictionary_entries": 1, "references_per_tile": 1,
            "codecs": [{"name": "clc", "qualities": [0, 1, 2, 3]}],
        }  # fmt: skip
        draft.statistics |= {"skipped": [], "failures": []}
        version = draft.publish()

    assert expected in words(version)


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
