"""The explorer as a person uses it, in a real browser."""

import pytest

from clc.dictionary.inspect import explore
from clc.dictionary.inspect.explore import member_versions, write_explorer
from tests.conftest import picture
from tests.evaluation.chromium import CHROMIUM, browser

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH; apt-get install chromium"),
    pytest.mark.medium,
]

A_PAGE = 5
SHOWN = "[...document.querySelectorAll('.entry')].filter(e => !e.hidden).map(e => Number(e.dataset.index))"
ON_MAP = (
    "[...document.querySelectorAll('.map a:not(.off)')]"
    ".map(a => Number(a.getAttribute('href').slice(7))).sort((a, b) => a - b)"
)
COUNT = "document.getElementById('count').textContent"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def explorer(world, tmp_path_factory):
    """Sixteen entries, five a page."""
    path = tmp_path_factory.mktemp("explorer") / "dictionary.html"
    query = ("query.png", picture(100))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(explore, "ENTRIES_A_PAGE", A_PAGE)
        write_explorer(world.dictionary, *member_versions(world.dictionary, world.store), [query], path=path)
    return path


@pytest.fixture
def page(chromium, explorer):
    chromium.events.clear()
    chromium.open(explorer, width=1280)
    return chromium


def choose(page, id: str, value: object) -> None:
    page.evaluate(
        f"(() => {{ const e = document.getElementById('{id}'); e.value = '{value}';"
        "e.dispatchEvent(new Event('input', {bubbles: true}));"
        "e.dispatchEvent(new Event('change', {bubbles: true})) })()"
    )


def press(page, selector: str) -> None:
    """A button, wherever it has moved to meanwhile."""
    page.evaluate(f'document.querySelector("{selector}").click()')


def arrive(page, link: str) -> None:
    """Wait until the entry of a link is shown: the browser tells the page of a new address later."""
    page.evaluate(
        "new Promise(done => { const look = () => "
        f"document.querySelector('{link}').hidden ? setTimeout(look, 10) : done(); look() }})"
    )


def test_it_opens_without_errors_and_only_its_own_script_may_run(page):
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.smuggled = 1'}))"
    )

    assert page.evaluate("window.smuggled === undefined")
    assert [event for event in page.events if event["method"] == "Runtime.exceptionThrown"] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_telephone_and_a_wide_screen(page, explorer, width):
    page.open(explorer, width=width)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width == 390:
        heights = page.evaluate(
            "[...document.querySelectorAll('button, select, input')].filter(e => e.checkVisibility())"
            ".map(e => e.getBoundingClientRect().height)"
        )
        assert min(heights) >= 44


def test_entries_are_turned_over_in_pages(page):
    assert page.evaluate(SHOWN) == [0, 1, 2, 3, 4]
    assert page.evaluate("document.querySelector('.pages output').textContent") == "page 1 of 4"
    assert page.evaluate("document.querySelector('[data-turn=\"-1\"]').disabled")

    for _ in range(3):
        press(page, "[data-turn='1']")
    assert page.evaluate(SHOWN) == [15]
    assert page.evaluate("document.querySelector('[data-turn=\"1\"]').disabled")
    press(page, "[data-turn='-1']")
    assert page.evaluate(SHOWN) == [10, 11, 12, 13, 14]


def test_the_order_goes_over_all_pages(page):
    choose(page, "sort", "size")

    sizes = page.evaluate("[...document.querySelectorAll('.entry')].map(e => Number(e.dataset.size))")
    assert sizes == sorted(sizes, reverse=True)
    assert page.evaluate(SHOWN) == page.evaluate(
        f"[...document.querySelectorAll('.entry')].slice(0, {A_PAGE}).map(e => Number(e.dataset.index))"
    )


def test_a_link_leads_to_its_page_and_to_what_the_filter_hides(page):
    page.evaluate("location.hash = '#entry-12'")
    arrive(page, "#entry-12")
    assert page.evaluate(SHOWN) == [10, 11, 12, 13, 14]

    photo = page.evaluate("document.getElementById('entry-0').dataset.photo")
    choose(page, "photo", photo)
    other = page.evaluate("document.querySelector('.map a.off').getAttribute('href')")
    page.evaluate(f"location.hash = '{other}'")
    arrive(page, other)
    assert int(other.removeprefix("#entry-")) in page.evaluate(SHOWN)


def test_what_the_filter_leaves_out_is_pale_on_the_map(page):
    photo = page.evaluate("document.getElementById('entry-0').dataset.photo")
    own = page.evaluate(
        f"[...document.querySelectorAll('.entry')].filter(e => e.dataset.photo === '{photo}')"
        ".map(e => Number(e.dataset.index))"
    )
    assert page.evaluate(ON_MAP) == list(range(16))

    choose(page, "photo", photo)
    assert page.evaluate(ON_MAP) == own
    assert page.evaluate(SHOWN) == own[:A_PAGE]
    assert page.evaluate(COUNT) == f"{len(own)} of 16 entries"
    opacity = "getComputedStyle(document.querySelector('.map a.off circle')).fillOpacity"
    assert float(page.evaluate(opacity)) < 0.2


def test_a_box_dragged_over_the_map_leaves_out_what_lies_outside_and_goes_with_the_other_filters(page):
    left, top, width, height = page.box(".map svg")
    page.drag((left + 1, top + 1), (left + width / 2, top + height - 1))

    middle = page.evaluate("document.querySelector('.map svg').viewBox.baseVal.width") / 2
    inside = page.evaluate(
        "[...document.querySelectorAll('.map a')].filter(a => "
        f"a.querySelector('circle').cx.baseVal.value < {middle})"
        ".map(a => Number(a.getAttribute('href').slice(7))).sort((a, b) => a - b)"
    )
    assert 0 < len(inside) < 16
    assert page.evaluate(ON_MAP) == inside
    assert page.evaluate(SHOWN) == inside[:A_PAGE]

    smallest = max(page.evaluate("[...document.querySelectorAll('.entry')].map(e => Number(e.dataset.size))"))
    choose(page, "size", smallest)
    assert set(page.evaluate(ON_MAP)) < set(inside)
    choose(page, "size", 1)
    page.click("#everywhere")
    assert page.evaluate(ON_MAP) == list(range(16))
    assert page.evaluate("document.getElementById('everywhere').hidden")


def test_a_point_that_is_pointed_at_shows_the_picture_of_its_entry(page):
    link = page.evaluate("[...document.querySelectorAll('.map a')].at(-1).getAttribute('href')")
    left, top, width, height = page.box(f".map a[href='{link}'] circle")
    seen = "document.getElementById('seen')"
    assert page.evaluate(f"{seen}.hidden")
    page.evaluate("new Promise(requestAnimationFrame)")

    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=left + width / 2, y=top + height / 2)
    assert not page.evaluate(f"{seen}.hidden")
    assert page.evaluate(f"{seen}.querySelector('img').src === document.querySelector('{link} img').src")
    box = page.evaluate(
        f"(() => {{ const b = {seen}.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom] }})()"
    )
    assert 0 <= box[0] < box[2] <= 1280
    assert 0 <= box[1] < box[3] <= 900
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert page.evaluate(f"{seen}.hidden")


def test_a_click_on_a_point_still_leads_to_its_entry(page):
    link = page.evaluate("[...document.querySelectorAll('.map a')].at(-1).getAttribute('href')")
    page.click(f".map a[href='{link}'] circle")

    arrive(page, link)
    assert page.evaluate("location.hash") == link
    assert int(link.removeprefix("#entry-")) in page.evaluate(SHOWN)
