"""A diff names what a rebuild changed, by the pixels of the entries, and nothing that it did not change."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from clc.dictionary.build import build_dictionary
from clc.dictionary.dictionary import Dictionary
from clc.dictionary.inspect.diff import diff, render_text, to_json
from clc.dictionary.retrieval.search import FaissIndex, KeyBallTree
from clc.dictionary.stages.cluster import ClusterConfig
from clc.dictionary.stages.features import FeatureConfig, vector_array, vectors_of
from clc.dictionary.stages.index import IndexConfig
from clc.dictionary.stages.reduce import ReduceConfig
from clc.errors import DictionaryError
from clc.images import open_source
from clc.store import Draft, Kind, Store, Version, run_stage
from tests.conftest import DICTIONARY_CONFIGS, World, picture, write_photos


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Callable[..., Version]:
    """Builds variants of the world's dictionary in one store, where equal stages run once."""
    store = Store(tmp_path_factory.mktemp("variants"))

    def variant(source: Path = photos, **configs: object) -> Version:
        return build_dictionary(open_source(f"folder:{source}"), store=store, **DICTIONARY_CONFIGS | configs).version

    return variant


@pytest.fixture(scope="module")
def smaller(build: Callable[..., Version]) -> Version:
    """The same photos and keys in fewer clusters."""
    return build(cluster_config=ClusterConfig(entries=10))


@pytest.fixture(scope="module")
def probes() -> NDArray[np.uint8]:
    return np.stack([picture(seed)[:256, :256] for seed in range(100, 104)])


def hashes(version: Version) -> list[str]:
    return version.table("entries", columns=["pixels_sha256"])["pixels_sha256"].to_pylist()


def rearranged(version: Version, store: Store, rows: list[int], change: NDArray[np.float32] | None = None) -> Version:
    """A dictionary of these entries of `version`, keys plus `change`, in this order."""
    entries = version.table("entries").take(pa.array(rows))
    keys = vectors_of(entries["key"]) + (0 if change is None else change)
    position = entries.schema.get_field_index("key")
    entries = entries.set_column(position, entries.schema.field("key"), vector_array(keys))
    tree = KeyBallTree.build(keys, leaf_size=4)
    tables = {
        "entries": entries,
        "faiss": FaissIndex.build(keys).to_table(),
        "ball_tree_order": tree.order_table(),
        "ball_tree_nodes": tree.node_table(),
    }

    def write(draft: Draft) -> None:
        for name, content in tables.items():
            with draft.table(name, version.schema(name)) as writer:
                writer.write(content)
        draft.tensors("basis", version.tensors("basis"))
        draft.attributes |= {**version.attributes, "entries": len(rows)}
        draft.statistics |= version.statistics

    recipe = version.manifest.recipe.model_copy(update={"config": {"rows": rows, "changed": change is not None}})
    return run_stage(store, Kind.DICTIONARY, recipe.model_copy(update={"inputs": {}}), write).version


def test_a_dictionary_does_not_differ_from_itself(world: World, probes: NDArray[np.uint8]) -> None:
    same = diff(world.dictionary, world.dictionary, probes=probes)
    assert not same.entries_changed
    assert (same.unchanged, same.added, same.removed, same.moved) == (16, (), (), ())
    assert same.keys is not None
    assert same.keys.same_basis
    assert same.keys.euclidean.max == same.keys.cosine_distance.max == 0.0
    assert same.overlap is not None
    assert same.overlap.mean == same.overlap.lowest == 1.0
    assert "16: no entry changed" in render_text(same)


@pytest.mark.medium
def test_an_equal_build_elsewhere_is_no_change(world: World, build: Callable[..., Version]) -> None:
    assert "no entry changed" in render_text(diff(world.dictionary, build(), probes=None))


def test_entries_are_added_removed_or_unchanged_by_their_pixels(world: World, smaller: Version) -> None:
    found = diff(world.dictionary, smaller, probes=None)
    old, new = hashes(world.dictionary), hashes(smaller)
    assert {entry.pixels_sha256 for entry in found.added} == set(new) - set(old)
    assert {entry.pixels_sha256 for entry in found.removed} == set(old) - set(new)
    assert found.unchanged == len(set(old) & set(new)) > 0
    assert all(new[entry.index] == entry.pixels_sha256 for entry in found.added)
    assert all(old[entry.index] == entry.pixels_sha256 for entry in found.removed)
    assert found.entries_changed


def test_the_way_back_is_the_mirror_image(world: World, smaller: Version) -> None:
    there, back = diff(world.dictionary, smaller, probes=None), diff(smaller, world.dictionary, probes=None)
    assert (back.added, back.removed) == (there.removed, there.added)
    assert back.keys is not None
    assert there.keys is not None
    assert back.keys.euclidean == there.keys.euclidean


def test_entries_in_another_order_have_moved(world: World, tmp_path: Path) -> None:
    swapped = rearranged(world.dictionary, Store(tmp_path), [0, 2, 1, *range(3, 16)])
    found = diff(world.dictionary, swapped, probes=None)
    assert [(move.index_a, move.index_b) for move in found.moved] == [(1, 2), (2, 1)]
    assert (found.unchanged, found.added, found.removed) == (16, (), ())
    assert "16 pictures, 2 of them at another index" in render_text(found)


def test_duplicates_are_counted_one_by_one(world: World, tmp_path: Path) -> None:
    """One of three copies gives way to another entry; those that kept their place have not moved."""
    thrice = rearranged(world.dictionary, Store(tmp_path), [0, 1, 0, 0])
    twice = rearranged(world.dictionary, Store(tmp_path), [2, 1, 0, 0])
    found = diff(thrice, twice, probes=None)
    assert [entry.index for entry in found.removed] == [0]
    assert [entry.index for entry in found.added] == [0]
    assert (found.unchanged, found.moved) == (3, ())


def test_a_second_copy_of_an_entry_is_added(world: World, tmp_path: Path) -> None:
    once, twice = (rearranged(world.dictionary, Store(tmp_path), rows) for rows in ([0, 1], [0, 1, 0]))
    found = diff(once, twice, probes=None)
    assert [entry.index for entry in found.added] == [2]
    assert (found.unchanged, found.moved, found.removed) == (2, (), ())


def test_key_drift_is_measured_over_the_entries_in_both(world: World, tmp_path: Path) -> None:
    change = np.zeros((16, 8), np.float32)
    change[3, [0, 1, 2, 7]] = [3.0, 0.0, 4.0, 0.5]
    drifted = rearranged(world.dictionary, Store(tmp_path), list(range(16)), change)
    keys = diff(world.dictionary, drifted, probes=None).keys
    assert keys is not None
    (difference,) = keys.differences
    assert (difference.index_a, difference.index_b, difference.floats) == (3, 3, "0,2,7")
    assert difference.largest == pytest.approx(4.0, rel=1e-5)
    length = float(np.sqrt(25.25))
    assert keys.euclidean.max == pytest.approx(length, rel=1e-5)
    assert keys.euclidean.mean == pytest.approx(length / 16, rel=1e-5)
    assert keys.euclidean.median == 0.0
    old = Dictionary(world.dictionary).keys[3].astype(np.float64)
    new = old + change[3]
    cosine = old @ new / np.linalg.norm(old) / np.linalg.norm(new)
    assert keys.cosine_distance.max == pytest.approx(1.0 - cosine, rel=1e-4)


def test_runs_of_differing_floats_are_joined(world: World, tmp_path: Path) -> None:
    change = np.zeros((16, 8), np.float32)
    change[0, [0, 1, 2, 5]] = 1.0
    found = diff(world.dictionary, rearranged(world.dictionary, Store(tmp_path), list(range(16)), change), probes=None)
    assert "entry 0: floats 0-2,5, by at most 1" in render_text(found)


@pytest.mark.medium
def test_keys_on_another_basis_are_compared_with_a_warning(world: World, build: Callable[..., Version]) -> None:
    rebuilt = build(
        feature_config=FeatureConfig(backbone="hog", levels=(1, 2)), cluster_config=ClusterConfig(entries=30)
    )
    found = diff(world.dictionary, rebuilt, probes=None)
    assert found.keys is not None
    assert not found.keys.same_basis
    assert "the PCA basis differs" in render_text(found)


def test_keys_of_another_dimension_are_not_compared(world: World, build: Callable[..., Version]) -> None:
    found = diff(world.dictionary, build(reduce_config=ReduceConfig(dim=4)), probes=None)
    assert found.keys is None
    assert found.keys_reason == "keys have 8 dimensions in one and 4 in the other"
    assert found.keys_reason in render_text(found)


def test_sizes_of_common_clusters_are_compared(world: World, smaller: Version) -> None:
    found = diff(world.dictionary, smaller, probes=None)
    size_of = [
        dict(zip(hashes(v), v.table("entries", columns=["cluster_size"])["cluster_size"].to_pylist(), strict=True))
        for v in (world.dictionary, smaller)
    ]
    changed = {sha for sha in size_of[0].keys() & size_of[1].keys() if size_of[0][sha] != size_of[1][sha]}
    assert {hashes(world.dictionary)[change.index_a] for change in found.cluster_sizes} == changed != set()
    assert all(change.before == size_of[0][hashes(smaller)[change.index_b]] for change in found.cluster_sizes)
    assert all(change.after == size_of[1][hashes(smaller)[change.index_b]] for change in found.cluster_sizes)


@pytest.mark.medium
def test_photos_that_entered_and_left_are_named(build: Callable[..., Version], tmp_path: Path) -> None:
    before = build(write_photos(tmp_path / "before", range(3)), cluster_config=ClusterConfig(entries=24))
    after = build(write_photos(tmp_path / "after", range(1, 5)), cluster_config=ClusterConfig(entries=32))
    found = diff(before, after, probes=None)
    assert found.photos_left == ("photo-0.png",)
    assert found.photos_entered == ("photo-3.png", "photo-4.png")
    assert found.unchanged == 16  # every patch is an entry, and two photos stayed
    assert "2 entered, 1 left" in render_text(found)


def test_attributes_that_differ_are_the_configuration_changes(world: World, build: Callable[..., Version]) -> None:
    found = diff(world.dictionary, build(index_config=IndexConfig(leaf_size=9)), probes=None)
    assert [(c.name, c.before, c.after) for c in found.configuration] == [("leaf_size", 4, 9)]
    assert not found.entries_changed


def test_overlap_is_the_share_of_pictures_that_both_retrieve(
    world: World, smaller: Version, probes: NDArray[np.uint8]
) -> None:
    found = diff(world.dictionary, smaller, probes=probes, number=4).overlap
    shares = [
        len({hashes(world.dictionary)[e] for e in one} & {hashes(smaller)[e] for e in other}) / 4
        for one, other in zip(
            Dictionary(world.dictionary).retrieve_tiles(probes, 4),
            Dictionary(smaller).retrieve_tiles(probes, 4),
            strict=True,
        )
    ]
    assert found is not None
    assert (found.number, found.probes) == (4, 4)
    assert found.mean == pytest.approx(np.mean(shares))
    assert 0.0 < found.mean < 1.0
    assert found.lowest == min(shares)


def test_an_equal_picture_counts_at_another_index(world: World, tmp_path: Path, probes: NDArray[np.uint8]) -> None:
    backwards = rearranged(world.dictionary, Store(tmp_path), list(range(15, -1, -1)))
    found = diff(world.dictionary, backwards, probes=probes).overlap
    assert found is not None
    assert found.mean == 1.0


@pytest.mark.parametrize("none", [None, np.zeros((0, 256, 256, 3), np.uint8)])
def test_without_probes_there_is_no_overlap(world: World, none: NDArray[np.uint8] | None) -> None:
    found = diff(world.dictionary, world.dictionary, probes=none)
    assert found.overlap is None
    assert "no probes" in render_text(found)


def test_json_holds_every_field(world: World, smaller: Version, probes: NDArray[np.uint8]) -> None:
    found = diff(world.dictionary, smaller, probes=probes)
    document = json.loads(to_json(found))
    assert document["entries_changed"] is True
    assert document["a"] == world.dictionary.short_id
    assert [entry["index"] for entry in document["added"]] == [entry.index for entry in found.added]
    assert document["keys"]["euclidean"]["max"] == found.keys.euclidean.max  # type: ignore[union-attr]
    assert document["overlap"]["mean"] == found.overlap.mean  # type: ignore[union-attr]


@pytest.mark.medium
def test_long_lists_are_cut_and_say_so(build: Callable[..., Version], tmp_path: Path) -> None:
    one = build(write_photos(tmp_path / "one", range(10, 12)))
    other = build(write_photos(tmp_path / "other", range(20, 22)))
    text = render_text(diff(one, other, probes=None))
    assert text.count("and 6 more") == 2
    assert "not compared: no entry is in both" in text


def test_only_dictionaries_are_compared(world: World) -> None:
    for pair in ((world.dictionary, world.assignments), (world.model, world.dictionary)):
        with pytest.raises(DictionaryError, match="is not a dictionary"):
            diff(*pair, probes=None)


def test_a_backbone_that_cannot_be_opened_is_an_error_only_with_probes(
    world: World, tmp_path: Path, probes: NDArray[np.uint8]
) -> None:
    lost = str(tmp_path / "lost.pth")
    diff(world.dictionary, world.dictionary, probes=None, backbone=f"file:{lost}")
    with pytest.raises(DictionaryError, match=r"lost\.pth do not exist"):
        diff(world.dictionary, world.dictionary, probes=probes, backbone=f"file:{lost}")


@pytest.mark.parametrize(("number", "message"), [(0, "at least 1, not 0"), (17, "offers only 16")])
def test_a_number_that_cannot_be_retrieved_is_refused(
    world: World, probes: NDArray[np.uint8], number: int, message: str
) -> None:
    with pytest.raises(DictionaryError, match=message):
        diff(world.dictionary, world.dictionary, probes=probes, number=number)
