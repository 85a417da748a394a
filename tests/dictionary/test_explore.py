"""The explorer page shows every entry, loads nothing, and escapes what comes from data."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clc.dictionary.build import build_dictionary
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.inspect import explore
from clc.dictionary.inspect.explore import (
    ENTRY_PIXELS,
    MEMBER_PIXELS,
    MEMBERS_SHOWN,
    TILES_SHOWN,
    member_versions,
    principal_plane,
    render_explorer,
    write_explorer,
)
from clc.dictionary.stages.cluster import ClusterConfig
from clc.errors import DictionaryError, OutputError
from clc.images import open_source
from clc.images.patch import decode_patch
from clc.model.tiles import image_tiles
from clc.store import Kind, Store, Version
from tests.conftest import DICTIONARY_CONFIGS, World, picture

HOSTILE = """<script>alert("x")</script>&'.png"""
VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """Parses strictly: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        return [found for name, found in self.elements if name == tag and kind in found.get("class", "")]

    def pictures(self, pixels: int) -> list[dict[str, str]]:
        return [found for found in self.all("img") if found["width"] == str(pixels)]


@pytest.fixture(scope="module")
def page(world: World) -> Page:
    query = ("query.png", picture(100))
    return Page(render_explorer(world.dictionary, *member_versions(world.dictionary, world.store), [query]))


@pytest.fixture(scope="module")
def plain(world: World) -> Page:
    """Without members and queries."""
    return Page(render_explorer(world.dictionary, None, None, []))


def shown(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def likeness(uri: str, patch: np.ndarray) -> float:
    """Mean absolute difference from the patch at the size of the page's picture."""
    small = shown(uri)
    expected = Image.fromarray(patch).resize(small.shape[:2], Image.Resampling.LANCZOS)
    return float(np.abs(small - np.asarray(expected, dtype=float)).mean())


def test_the_page_says_what_the_version_is(world: World, page: Page) -> None:
    for expected in (world.dictionary.id, "hog-1", "16 reference patches from 6 photos", "patches clustered", "48"):
        assert expected in page.text
    for ref in world.dictionary.manifest.recipe.inputs.values():
        assert ref[: ref.index("/") + 17] in page.text


def test_the_page_loads_nothing(page: Page) -> None:
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert tag != "script" or "src" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)


def test_nothing_in_the_page_names_another_place(world: World) -> None:
    assert not re.search(r"url\(|@import|https?://", render_explorer(world.dictionary, None, None, []))


def test_every_entry_is_shown_with_its_own_picture(world: World, page: Page) -> None:
    rows = world.dictionary.table("entries").to_pylist()
    cards = page.all("article", "entry")
    assert [card["id"] for card in cards] == [f"entry-{index}" for index in range(16)]
    for card, row in zip(cards, rows, strict=True):
        assert card["data-photo"] == row["image_id"]
        assert int(card["data-size"]) == row["cluster_size"]
        assert float(card["data-radius"]) == row["cluster_radius"]
    pictures = {found["alt"]: found["src"] for found in page.pictures(ENTRY_PIXELS)}
    for index, row in enumerate(rows):
        assert likeness(pictures[f"entry {index}"], decode_patch(row["image"])) < 8


def test_every_link_leads_to_an_entry(page: Page) -> None:
    places = {f"#{found['id']}" for found in page.all("article")}
    assert {found["href"] for found in page.all("a")} == places


def test_the_map_has_a_point_for_every_entry(world: World, page: Page) -> None:
    sizes = world.dictionary.table("entries", columns=["cluster_size"])["cluster_size"].to_pylist()
    points = dict(zip((a["href"] for a in page.all("a") if "tabindex" in a), page.all("circle"), strict=True))
    assert points.keys() == {f"#entry-{entry}" for entry in range(16)}
    largest = f"#entry-{int(np.argmax(sizes))}"
    assert float(points[largest]["r"]) == max(float(point["r"]) for point in points.values())
    assert len({point["r"] for point in points.values()}) > 1
    _, _, width, height = (float(number) for number in page.all("svg")[0]["viewbox"].split())
    for point in points.values():
        assert 0 < float(point["cx"]) < width
        assert 0 < float(point["cy"]) < height


def test_entries_of_one_photo_have_one_colour(page: Page) -> None:
    colours = {(card["data-photo"], card["style"]) for card in page.all("article")}
    assert len(colours) == len({photo for photo, _ in colours}) == len({style for _, style in colours}) == 6


def test_the_plane_is_that_of_the_leading_principal_components() -> None:
    generator = np.random.default_rng(0)
    keys = (generator.normal(size=(200, 5)) * [1, 9, 0.1, 4, 0.5] + 7).astype(np.float32)
    positions, shares = principal_plane(keys)
    variances = np.sort(np.linalg.eigvalsh(np.cov(keys.T.astype(np.float64))))[::-1]
    assert np.allclose(positions.var(axis=0, ddof=1), variances[:2])
    assert np.allclose(shares, variances[:2] / variances.sum())
    assert np.corrcoef(positions[:, 0], keys[:, 1])[0, 1] > 0.99


@pytest.mark.parametrize("keys", [np.ones((1, 4)), np.ones((5, 4)), np.arange(6.0)[:, None]])
def test_keys_without_a_plane_still_have_places(keys: np.ndarray) -> None:
    positions, shares = principal_plane(keys.astype(np.float32))
    assert positions.shape == (len(keys), 2)
    assert np.allclose(positions[:, 1], 0)
    assert np.isfinite(shares).all()


@pytest.mark.medium
def test_members_are_patches_of_the_cluster_other_than_the_entry(world: World) -> None:
    clusters, patches = member_versions(world.dictionary, world.store)
    assert clusters is not None
    assert patches is not None
    owners = clusters.table("members")["entry"].to_numpy()
    representatives = clusters.table("clusters")["representative"].to_pylist()
    images = [decode_patch(data) for data in patches.table("patches")["image"].to_pylist()]
    page = render_explorer(world.dictionary, clusters, patches, [])
    for index, card in enumerate(page.split("<article ")[1:]):
        members = re.findall(rf'<img src="([^"]+)" width="{MEMBER_PIXELS}"', card)
        others = [row for row in np.flatnonzero(owners == index) if row != representatives[index]]
        assert len(members) == min(MEMBERS_SHOWN, len(others))
        found = {min(range(len(images)), key=lambda row: likeness(uri, images[row])) for uri in members}
        assert found <= set(others)
        assert len(found) == len(members)


def test_only_the_largest_clusters_show_members_and_the_page_says_so(
    world: World, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore, "CLUSTERS_WITH_MEMBERS", 2)
    few = render_explorer(world.dictionary, *member_versions(world.dictionary, world.store), [])
    sizes = world.dictionary.table("entries", columns=["cluster_size"])["cluster_size"].to_numpy()
    with_members = [i for i, card in enumerate(few.split("<article ")[1:]) if 'class="members"' in card]
    assert with_members == sorted(np.argsort(-sizes, kind="stable")[:2])
    assert "for the 2 largest clusters only" in Page(few).text
    assert "largest clusters only" not in page.text


def test_without_the_clusters_or_patches_the_page_says_so(world: World, plain: Page) -> None:
    clusters, patches = member_versions(world.dictionary, world.store)
    for half in (
        plain,
        *(Page(render_explorer(world.dictionary, *p, [])) for p in ((clusters, None), (None, patches))),
    ):
        assert "are not in this store, so members are not shown" in half.text
        assert half.pictures(MEMBER_PIXELS) == []


def test_member_versions_are_found_through_lineage(world: World, tmp_path: Path) -> None:
    clusters, patches = member_versions(world.dictionary, world.store)
    assert {clusters.ref, patches.ref} < set(world.dictionary.manifest.recipe.inputs.values())  # type: ignore[union-attr]
    elsewhere = Store(tmp_path)
    source, target = Path(world.store.url), tmp_path
    shutil.copytree(
        source / "dictionary" / world.dictionary.short_id, target / "dictionary" / world.dictionary.short_id
    )
    assert member_versions(elsewhere.get(Kind.DICTIONARY, world.dictionary.id), elsewhere) == (None, None)


def test_queries_show_their_tiles_with_what_they_retrieve(world: World, page: Page) -> None:
    dictionary = Dictionary(world.dictionary)
    tiles = image_tiles(picture(100))
    entries, distances = dictionary.search(dictionary.keys_of(tiles), 3)
    pictures = [found for found in page.pictures(ENTRY_PIXELS) if not re.fullmatch(r"entry \d+", found["alt"])]
    assert len(pictures) == len(tiles) * (1 + 3)
    for number, tile in enumerate(tiles):
        first, *found = pictures[4 * number : 4 * number + 4]
        assert first["alt"] == f"query.png, row {number // 2}, column {number % 2}"
        assert likeness(first["src"], tile) < 8
        assert [re.match(r"entry (\d+),", f["alt"])[1] for f in found] == list(map(str, entries[number]))  # type: ignore[index]
        for distance in distances[number]:
            assert f"{distance:.4g}" in page.text


@pytest.mark.medium
def test_large_queries_show_some_of_their_tiles(world: World) -> None:
    photo = np.tile(picture(7), (5, 5, 1))  # 1800×2100 pixels: 8 × 9 tiles
    page = Page(render_explorer(world.dictionary, None, None, [("large", photo)], 1))
    assert f"2100×1800, 72 tiles; {TILES_SHOWN} of them are shown" in page.text
    assert len([f for f in page.pictures(ENTRY_PIXELS) if f["alt"].startswith("large, row")]) == TILES_SHOWN


@pytest.mark.medium
def test_no_backbone_is_opened_without_queries(world: World) -> None:
    render_explorer(world.dictionary, None, None, [], backbone="random:0")
    with pytest.raises(DictionaryError, match="built with features hog-1"):
        render_explorer(world.dictionary, None, None, [("a", picture(0))], backbone="random:0")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Store]:
    """A dictionary of one photo whose name is markup."""
    folder = tmp_path_factory.mktemp("hostile")
    # A file name cannot hold the slash of an end tag: what it can hold must do.
    Image.fromarray(picture(3)).save(folder / HOSTILE.replace("/", "_"), format="PNG")
    store = Store(tmp_path_factory.mktemp("hostile-store"))
    configs = DICTIONARY_CONFIGS | {"cluster_config": ClusterConfig(entries=4)}
    return build_dictionary(open_source(f"folder:{folder}"), store=store, **configs).version, store


def test_what_comes_from_data_is_escaped(hostile: tuple[Version, Store]) -> None:
    version, store = hostile
    text = render_explorer(version, *member_versions(version, store), [(HOSTILE, picture(4))])
    page = Page(text)
    assert len(page.all("script")) == 1
    assert text.count("<script") == 1
    assert {card["data-photo"] for card in page.all("article")} == {HOSTILE.replace("/", "_")}
    assert HOSTILE in page.text


def test_clusters_of_another_dictionary_are_refused(world: World, hostile: tuple[Version, Store]) -> None:
    other = member_versions(*hostile)
    own = member_versions(world.dictionary, world.store)
    with pytest.raises(DictionaryError, match="was not made from"):
        render_explorer(world.dictionary, *other, [])
    with pytest.raises(DictionaryError, match="not clusters and patches"):
        render_explorer(world.dictionary, own[1], own[0], [])


def test_only_a_dictionary_has_a_page(world: World) -> None:
    with pytest.raises(DictionaryError, match="is not a dictionary"):
        render_explorer(world.assignments, None, None, [])


def test_a_page_of_three_thousand_entries_can_still_be_mailed(world: World) -> None:
    """By extrapolation: noisy test patches are as heavy as pictures get, and the members are at most 1,200."""
    page = render_explorer(world.dictionary, *member_versions(world.dictionary, world.store), [])
    plain = render_explorer(world.dictionary, None, None, [])
    members = len(Page(page).pictures(MEMBER_PIXELS))
    an_entry, a_member = len(plain) / 16, (len(page) - len(plain)) / members
    assert 3000 * an_entry + 200 * 6 * a_member < 25e6


def test_the_same_arguments_give_the_same_page_written_whole(world: World, tmp_path: Path) -> None:
    path = tmp_path / "pages" / "dictionary.html"
    arguments = (world.dictionary, *member_versions(world.dictionary, world.store), [("query", picture(100))], 2)
    write_explorer(*arguments, path=path)
    write_explorer(*arguments, path=path)
    assert path.read_text("utf-8") == render_explorer(*arguments)
    assert list(path.parent.iterdir()) == [path]


def test_a_page_that_cannot_be_written_is_an_output_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="name another file"):
        write_explorer(world.dictionary, None, None, [], path=tmp_path / "file" / "dictionary.html")
