"""The report as a person uses it, in a real browser."""

import csv
import re
import time

import numpy as np
import pytest
from PIL import Image

from clc.evaluation.report.page import write_report
from clc.store import Store
from tests.evaluation.chromium import CHROMIUM, browser

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH; apt-get install chromium"),
    pytest.mark.medium,
]

HOSTILE = "<script>hostile()</script>"
CHOICE = "document.querySelectorAll('.choices select')[1]"
POINTS = (
    "[...document.querySelectorAll('svg.chart')[0].querySelectorAll('.point')].map(p => p.getAttribute('transform'))"
)
TICKS = (
    "[...document.querySelectorAll('svg.chart')[0].querySelectorAll('.x-ticks text')].map(t => Number(t.textContent))"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(run, tmp_path_factory, photos_of, picture):
    photos = photos_of({HOSTILE: picture(0), "b": picture(1), "a": picture(2)})
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(run(Store(tmp_path_factory.mktemp("store")), photos).version, path)
    return path


@pytest.fixture
def page(chromium, report):
    chromium.events.clear()
    chromium.open(report)
    return chromium


def test_it_opens_without_errors_and_asks_the_network_for_nothing(page):
    page.evaluate("1")

    urls = {
        event["params"]["request"]["url"].partition(":")[0]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert urls <= {"file", "data"}
    faults = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
    assert [event for event in page.events if event["method"] in faults] == []


def test_only_its_own_script_may_run(page):
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.smuggled = 1'}))"
    )

    assert page.evaluate("window.smuggled === undefined")


@pytest.mark.parametrize("width", [390, 1280, 1400])
def test_it_fits_a_telephone_and_a_wide_screen(page, report, width):
    page.open(report, width=width)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_dragging_a_box_zooms_a_chart_and_a_double_click_shows_the_whole_again(page):
    whole_points, whole_ticks = page.evaluate(POINTS), page.evaluate(TICKS)
    left, top, width, height = page.box("svg.chart")

    page.drag((left + 0.3 * width, top + 0.3 * height), (left + 0.6 * width, top + 0.6 * height))

    ticks = page.evaluate(TICKS)
    assert min(whole_ticks) < min(ticks) < max(ticks) < max(whole_ticks)
    assert page.evaluate(POINTS) != whole_points
    page.evaluate("document.querySelector('svg.chart').dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))")
    assert page.evaluate(TICKS) == whole_ticks
    numbers = [
        np.array([[float(part) for part in place[10:-1].split()] for place in places])
        for places in (page.evaluate(POINTS), whole_points)
    ]
    assert np.allclose(*numbers, atol=0.01)


def test_buttons_zoom_too(page):
    whole = page.evaluate(TICKS)

    page.click(".charts .tools button")
    assert page.evaluate(TICKS) != whole
    page.click(".charts .tools button:nth-child(3)")
    assert page.evaluate(TICKS) == whole


def column(page, number: int) -> list[str]:
    return page.evaluate(
        "[...document.querySelector('#photos').tBodies[0].rows]"
        f".map(row => row.cells[{number}].dataset.value ?? row.cells[{number}].textContent)"
    )


def test_a_click_on_a_heading_sorts_the_photos_and_another_one_turns_the_order_round(page):
    page.click("#every-photo summary")
    unsorted = [int(size) for size in column(page, 4)]
    assert unsorted != sorted(unsorted)

    page.click("#photos th:nth-child(5) button")
    assert [int(size) for size in column(page, 4)] == sorted(unsorted)
    page.click("#photos th:nth-child(5) button")
    assert [int(size) for size in column(page, 4)] == sorted(unsorted, reverse=True)
    page.click("#photos th:nth-child(1) button")
    assert list(dict.fromkeys(column(page, 0))) == [HOSTILE, "a", "b"]


def test_dragging_over_a_picture_shows_more_of_one_and_less_of_the_other(page):
    page.evaluate(f"{CHOICE}.selectedIndex = 3; {CHOICE}.dispatchEvent(new Event('change'))")
    page.evaluate("Promise.all([...document.querySelectorAll('.stage img')].map(image => image.decode()))")
    assert "JPEG" in page.evaluate(f"{CHOICE}.value")
    left, top, width, height = page.box(".stage")
    middle = top + height / 2

    pictures = {}
    for name, end in (("original", left + width - 2), ("JPEG", left + 2)):
        page.drag((left + width / 2, middle), (end, middle))
        pictures[name] = page.screenshot((left + 8, top, width - 16, height)).astype(int)

    shown, expected = page.evaluate("document.querySelector('.choices input').value"), 100 * 2 / width
    assert float(shown) == pytest.approx(expected, abs=1)
    assert np.abs(pictures["original"] - pictures["JPEG"]).mean() > 0.5


def test_the_slider_can_be_moved_from_the_keyboard(page):
    page.click(".choices input")
    before = float(page.evaluate("document.querySelector('.choices input').value"))

    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key="End", code="End", windowsVirtualKeyCode=35)

    assert before < 100 == float(page.evaluate("document.querySelector('.choices input').value"))
    assert page.evaluate("document.querySelector('.stage').style.getPropertyValue('--edge')") == "100%"


SMALLEST = (
    "Math.min(...[...document.querySelectorAll('button, select, summary, nav a, input')]"
    ".filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().height))"
)


def test_a_telephone_shows_the_contents_first_and_folds_all_but_the_slider(page, report):
    page.open(report, width=1280)
    wide = page.evaluate("document.documentElement.scrollHeight")
    assert page.evaluate("[...document.querySelectorAll('details.fold')].filter(d => !d.open).length") == 1
    page.open(report, width=390)

    assert page.evaluate("document.querySelector('nav').getBoundingClientRect().bottom < 900")
    assert page.evaluate("[...document.querySelectorAll('details.fold')].every(d => !d.open)")
    assert page.evaluate("document.querySelector('.stage').checkVisibility()")
    assert not page.evaluate("document.querySelector('.pictures').checkVisibility()")
    assert page.evaluate("document.documentElement.scrollHeight") < wide


def test_what_the_contents_lead_to_is_unfolded(page, report):
    page.open(report, width=390)
    for id in page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))"):
        page.click(f"nav a[href='#{id}']")
        page.evaluate("new Promise(done => setTimeout(done, 200))")  # the browser tells of a new address later

        section = f"document.getElementById('{id}')"
        assert page.evaluate(f"!{section}.matches('details') || {section}.open")
        assert page.evaluate(f"[...{section}.querySelectorAll(':scope > details')].every(d => d.open)")
        top = page.evaluate(f"{section}.getBoundingClientRect().top")
        assert -1 < top < 900


def test_on_a_telephone_every_target_is_large_enough_and_no_table_is_cut_off(page, report):
    page.open(report, width=390)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")

    assert page.evaluate(SMALLEST) >= 44
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(s => s.scrollWidth <= s.clientWidth)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('#points td:nth-child(3)').dataset.label") == "bpp"


def test_a_step_of_the_keyboard_moves_the_slider_so_that_one_sees_it(page):
    page.evaluate("document.querySelector('.choices input').focus()")
    place = "Number(document.querySelector('.choices input').value)"
    press = (
        ("ArrowRight", 39, 0, 2.0),
        ("ArrowLeft", 37, 0, -2.0),
        ("ArrowRight", 39, 8, 10.0),
        ("PageDown", 34, 0, -10.0),
    )
    for key, code, shift, moved in press:
        before = page.evaluate(place)
        for kind in ("keyDown", "keyUp"):
            page.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=shift)

        assert page.evaluate(place) - before == pytest.approx(moved)
        assert page.evaluate("document.querySelector('.stage').style.getPropertyValue('--edge')") == (
            f"{page.evaluate(place):g}%"
        )


def test_a_name_of_the_legend_hides_its_curves_and_shows_them_again(page):
    name = page.evaluate("document.querySelector('.legend li').dataset.curve")
    shown = (
        "[...document.querySelectorAll('.curve')].filter(c => getComputedStyle(c).display !== 'none')"
        ".map(c => c.dataset.curve)"
    )
    before = page.evaluate(shown)
    assert before.count(name) == 2

    page.click(".legend button")
    assert page.evaluate(shown) == [each for each in before if each != name]
    assert page.evaluate("document.querySelector('.legend button').getAttribute('aria-pressed')") == "false"
    page.click(".charts .tools button")  # zooming shows nothing that is hidden
    assert name not in page.evaluate(shown)
    page.click(".legend button")
    assert page.evaluate(shown) == before


def downloaded(page, folder, selector: str):
    """The file that a button gives."""
    page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click(selector)
    deadline = time.monotonic() + 60
    while not (found := [path for path in folder.iterdir() if path.suffix != ".crdownload"]):
        assert time.monotonic() < deadline, "nothing was downloaded"
        time.sleep(0.05)
    return found[0]


def test_a_table_is_given_as_csv(page, tmp_path):
    file = downloaded(page, tmp_path, "#means .download")

    with file.open(encoding="utf-8-sig", newline="") as opened:
        heading, *rows = csv.reader(opened)
    assert file.suffix == ".csv"
    assert heading[:3] == ["Codec", "Quality", "bpp"]
    assert {row[0] for row in rows} == {"clc", "clc, no references", "JPEG", "WebP"}
    assert all(float(row[2]) > 0 for row in rows)
    assert {len(row) for row in rows} == {len(heading)}


def test_names_that_spreadsheets_would_run_are_given_as_text(page):
    cells = page.evaluate(
        "['=1+1', '+1', '@x', '-x', '\u22125.0 %', 'a,\"b\"'].map(text => {"
        " const cell = document.createElement('td'); cell.textContent = text; return csvCell(cell) })"
    )

    assert cells == ["'=1+1", "'+1", "'@x", "'-x", "-5.0 %", '"a,""b"""']


def test_a_chart_is_given_as_a_picture_with_its_legend(page, tmp_path):
    file = downloaded(page, tmp_path, "svg.chart ~ figcaption .download")

    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.width == 2 * 480
        assert image.height > 2 * (360 + 22 * 4)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    colour = page.evaluate("getComputedStyle(document.querySelector('.curve .line')).stroke")
    wanted = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    assert (np.abs(pixels.astype(int) - wanted).max(axis=1) < 3).sum() > 200


def test_on_paper_what_is_folded_is_open_and_what_one_touches_is_gone(page, report):
    page.open(report, width=390)
    page.send("Emulation.setEmulatedMedia", media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    try:
        assert page.evaluate("document.querySelector('#points').checkVisibility()")
        assert page.evaluate("document.querySelector('.pictures').checkVisibility()")
        assert not page.evaluate("document.querySelector('#photos').checkVisibility()")
        for touched in ("nav", ".compare", ".tools", ".download"):
            assert not page.evaluate(f"document.querySelector('{touched}').checkVisibility()"), touched
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("[...document.querySelectorAll('details.fold')].every(d => !d.open)")
    finally:
        page.send("Emulation.setEmulatedMedia", media="")
