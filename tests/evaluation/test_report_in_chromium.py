"""The report as a person uses it, in a real browser."""

import numpy as np
import pytest

from clc.evaluation.report.page import write_report
from clc.store import Store
from tests.evaluation.chromium import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH; apt-get install chromium")

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


@pytest.mark.parametrize("width", [390, 1400])
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

    page.click(".tools button")
    assert page.evaluate(TICKS) != whole
    page.click(".tools button:nth-child(3)")
    assert page.evaluate(TICKS) == whole


def column(page, number: int) -> list[str]:
    return page.evaluate(
        "[...document.querySelector('#photos').tBodies[0].rows]"
        f".map(row => row.cells[{number}].dataset.value ?? row.cells[{number}].textContent)"
    )


def test_a_click_on_a_heading_sorts_the_photos_and_another_one_turns_the_order_round(page):
    page.click("summary")
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
