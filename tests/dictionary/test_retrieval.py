"""Retrieval is exact, deterministic, and never returns the query's own photo when told not to."""

import shutil
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
from PIL import Image

from clc.codec.artifacts import open_codec, read_latents, read_model
from clc.codec.bitstream import Bitstream, describe
from clc.codec.stream_header import Scope
from clc.dictionary.build import build_dictionary
from clc.dictionary.dictionary import Dictionary, load_index
from clc.dictionary.inspect.consistency import verify_dictionary
from clc.dictionary.retrieval.cache import KeyValueCache
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.dictionary.retrieval.queries import Query, RetrievalConfig, merge
from clc.dictionary.retrieval.search import FaissIndex, KeyBallTree, KeyScan, SearchMethod
from clc.dictionary.stages.assignments import assign
from clc.dictionary.stages.index import IndexConfig
from clc.errors import DictionaryError
from clc.images import open_source, read_image
from clc.model.tiles import image_tiles, to_tensor
from clc.store import Store
from tests.conftest import DICTIONARY_CONFIGS, World, picture


@pytest.fixture(scope="module", params=[None, *SearchMethod])
def dictionary(world: World, request: pytest.FixtureRequest) -> Dictionary:
    return Dictionary(world.dictionary, method=request.param)


@pytest.mark.medium
def test_an_entry_finds_itself(dictionary: Dictionary) -> None:
    patches = np.stack([dictionary.patch(entry) for entry in range(len(dictionary))])
    assert np.array_equal(dictionary.retrieve_tiles(patches, 1)[:, 0], np.arange(len(dictionary)))


def test_search_is_exact(dictionary: Dictionary) -> None:
    queries = np.random.default_rng(0).normal(0, 1, (50, dictionary.keys.shape[1])).astype(np.float32)
    entries, distances = dictionary.search(queries, 4)
    exact = np.linalg.norm(queries[:, None].astype(np.float64) - dictionary.keys, axis=2)
    assert np.array_equal(entries, np.argsort(exact, axis=1, kind="stable")[:, :4])
    assert np.allclose(distances, np.sort(exact, axis=1)[:, :4], rtol=1e-6)


def test_ties_go_to_the_lower_entry() -> None:
    keys = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    for index in (KeyScan(keys), FaissIndex.build(keys), KeyBallTree.build(keys, leaf_size=2)):
        dictionary = Dictionary.__new__(Dictionary)
        dictionary.keys, dictionary._index = keys, index
        entries, _ = dictionary.search(np.eye(4, dtype=np.float32)[[2]], 3)
        assert entries.tolist() == [[10, 11, 12]]


def test_entries_of_an_excluded_photo_are_left_out(world: World, dictionary: Dictionary) -> None:
    owners = world.dictionary.table("entries", columns=["photo_sha256"])["photo_sha256"].to_pylist()
    patches = np.stack([dictionary.patch(entry) for entry in range(4)])
    entries = dictionary.retrieve_tiles(patches, 3, exclude_source=owners[:4])
    for row, owner in zip(entries, owners[:4], strict=True):
        assert all(owners[entry] != owner for entry in row)


def test_more_references_than_entries_are_refused(dictionary: Dictionary) -> None:
    with pytest.raises(DictionaryError, match="offers only 16 entries"):
        dictionary.search(dictionary.keys[:1], 17)


@pytest.mark.medium
def test_another_backbone_than_the_built_one_is_refused(world: World) -> None:
    with pytest.raises(DictionaryError, match="built with features hog-1"):
        Dictionary(world.dictionary, backbone="random:0")


def test_a_graph_answers_the_same_after_loading_and_nearly_as_exhaustive_search() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(50, 32))
    keys = (centres[generator.integers(50, size=3000)] + 0.3 * generator.normal(size=(3000, 32))).astype(np.float32)
    queries = keys[::30] + 0.1 * generator.normal(size=(100, 32)).astype(np.float32)
    graph = FaissIndex.build(keys, graph=True)
    loaded = FaissIndex.load(graph.to_table())
    assert np.array_equal(loaded.candidates(queries, 3), graph.candidates(queries, 3))
    assert FaissIndex.build(keys, graph=True).to_table() == graph.to_table()
    assert graph.fits(keys)
    assert not graph.fits(keys[::-1])
    exact = FaissIndex.build(keys).candidates(queries, 3)
    assert (graph.candidates(queries, 3) == exact).mean() > 0.98


def test_a_search_of_the_graph_never_comes_back_short() -> None:
    keys = np.repeat(np.eye(4, dtype=np.float32), 100, axis=0)  # equal keys form islands
    found = FaissIndex.build(keys, graph=True).candidates(keys[:1], 350)
    assert len(np.unique(found)) == 350
    assert found.min() >= 0


def test_a_scan_proposes_every_key_if_asked() -> None:
    keys = np.eye(4, dtype=np.float32)
    scan = KeyScan(keys)
    assert np.array_equal(np.sort(scan.candidates(keys, 4), axis=1), np.tile(np.arange(4), (4, 1)))
    assert scan.candidates(keys, 1)[:, 0].tolist() == [0, 1, 2, 3]
    assert scan.fits(keys)
    assert not scan.fits(keys[::-1])


@pytest.mark.medium
def test_coding_with_an_exhaustive_dictionary_imports_no_search_library(world: World) -> None:
    code = f"""
import sys
from clc.store import Kind, Store
from clc.dictionary.retrieval.open_encoder import open_encoder
store = Store({world.store.url!r})
codec, dictionary = open_encoder(store, store.get(Kind.MODEL, "latest"), store.get(Kind.DICTIONARY, "latest"))
assert dictionary.search(dictionary.keys[:1], 1)[0].tolist() == [[0]]
foreign = {{"sklearn", "faiss", "skimage"}} & set(sys.modules)
sys.exit(", ".join(sorted(foreign)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.medium
def test_large_dictionaries_are_searched_by_graph(world: World, tmp_path: Path) -> None:
    configs = DICTIONARY_CONFIGS | {"index_config": IndexConfig(leaf_size=4, exhaustive_up_to=8)}
    source = open_source(f"folder:{world.photos}")
    graph = build_dictionary(source, store=Store(tmp_path), **configs).version
    assert isinstance(FaissIndex.load(graph.table("faiss")).index, faiss.IndexHNSWFlat)
    assert isinstance(Dictionary(graph)._index, FaissIndex)
    assert isinstance(Dictionary(world.dictionary)._index, KeyScan)
    assert graph.id == world.dictionary.id  # a search structure is no content
    queries = np.random.default_rng(0).normal(0, 1, (20, 8)).astype(np.float32)
    assert np.array_equal(Dictionary(graph).search(queries, 3)[0], Dictionary(world.dictionary).search(queries, 3)[0])
    assert verify_dictionary(graph) == []


@pytest.mark.parametrize("method", list(SearchMethod))
def test_a_loaded_index_answers_as_the_built_one(world: World, dictionary: Dictionary, method: SearchMethod) -> None:
    built = (
        FaissIndex.build(dictionary.keys)
        if method is SearchMethod.FAISS
        else KeyBallTree.build(dictionary.keys, world.dictionary.attributes["leaf_size"])
    )
    loaded = load_index(world.dictionary, dictionary.keys, method)
    queries = np.random.default_rng(1).normal(0, 1, (40, dictionary.keys.shape[1])).astype(np.float32)
    assert np.array_equal(built.candidates(queries, 5), loaded.candidates(queries, 5))


def test_assignments_are_what_retrieval_gives_for_each_window(world: World, dictionary: Dictionary) -> None:
    rows = world.assignments.table("assignments").to_pylist()
    assert {row["image_id"] for row in rows} == {path.name for path in world.photos.iterdir()}
    photos = {path.name: read_image(path) for path in world.photos.iterdir()}
    windows = [photos[row["image_id"]][row["y"] : row["y"] + 256, row["x"] : row["x"] + 256] for row in rows]
    own = [row["photo_sha256"] for row in rows]
    expected = dictionary.retrieve_tiles(np.stack(windows), 3, exclude_source=own)
    assert [row["entries"] for row in rows] == expected.tolist()


def test_photos_without_a_window_are_refused_if_there_are_no_others(tmp_path: Path, dictionary: Dictionary) -> None:
    Image.new("RGB", (255, 400)).save(tmp_path / "narrow.png")
    with pytest.raises(DictionaryError, match="no photo has 256×256 pixels"):
        assign(
            open_source(f"folder:{tmp_path}"),
            dictionary,
            references=3,
            retrieval=RetrievalConfig(),
            store=Store(tmp_path / "store"),
        )


def test_tile_scope_asks_once_a_tile_and_image_scope_once(dictionary: Dictionary) -> None:
    image = picture(0, 300, 600)
    assert np.array_equal(dictionary.retrieve(image, 3), dictionary.retrieve_tiles(image_tiles(image), 3))
    assert dictionary.retrieve(image, 3, scope=Scope.IMAGE).shape == (1, 3)


def test_an_image_finds_its_own_patch_whichever_scope(dictionary: Dictionary) -> None:
    for scope in Scope:
        assert dictionary.retrieve(dictionary.patch(5), 1, scope=scope).tolist() == [[5]]


def test_a_rotated_query_finds_what_the_plain_one_misses(dictionary: Dictionary) -> None:
    turned = np.rot90(dictionary.patch(7)).copy()
    queries = (Query.IDENTITY, Query.ROTATE_90, Query.ROTATE_180, Query.ROTATE_270)
    assert dictionary.retrieve(turned, 1)[0, 0] != 7
    assert dictionary.retrieve(turned, 1, queries=queries)[0, 0] == 7


def test_answers_of_several_queries_are_merged_without_duplicates(dictionary: Dictionary) -> None:
    found = dictionary.retrieve(dictionary.patch(2), 5, queries=tuple(Query))[0]
    assert len(set(found.tolist())) == 5
    assert found[0] == 2


def test_merging_keeps_the_best_distance_and_breaks_ties_by_entry() -> None:
    entries, distances = np.array([[4, 9, 9, 1, 3]]), np.array([[0.5, 0.2, 0.9, 0.5, 0.1]], dtype=np.float32)
    merged, best = merge(entries, distances, 3)
    assert merged.tolist() == [[3, 9, 1]]
    assert best.tolist() == [pytest.approx([0.1, 0.2, 0.5])]


def test_a_photo_is_excluded_under_whatever_name(photos: Path, tmp_path: Path, dictionary: Dictionary) -> None:
    shutil.copy(photos / "photo-0.png", tmp_path / "renamed.png")
    store = Store(tmp_path / "store")
    renamed = open_source(f"folder:{tmp_path}")
    version = assign(renamed, dictionary, references=3, retrieval=RetrievalConfig(), store=store).version
    owners = dictionary.version.table("entries", columns=["image_id"])["image_id"].to_pylist()
    assert "photo-0.png" in owners
    for entries in version.table("assignments")["entries"].to_pylist():
        assert all(owners[entry] != "photo-0.png" for entry in entries)


@pytest.fixture(scope="module")
def encoder(world: World) -> Dictionary:
    return open_encoder(world.store, world.model, world.dictionary)[1]


def test_attention_chooses_among_the_nearest(world: World, encoder: Dictionary) -> None:
    tiles = image_tiles(picture(50))
    network, latents = read_model(world.model), read_latents(world.latents)
    nearest, _ = Dictionary(world.dictionary).nearest(tiles, 16, (Query.IDENTITY,))  # all entries are candidates
    with torch.inference_mode():
        log_weights, _ = network.matching.attention(network.g_a(to_tensor(tiles)), latents.select(nearest))
    best = np.argsort(-log_weights.numpy(), axis=1)[:, :3]
    assert np.array_equal(encoder.retrieve_tiles(tiles, 3), np.take_along_axis(nearest, best, axis=1))


@pytest.mark.medium
def test_retrieval_does_not_depend_on_earlier_retrievals(world: World) -> None:
    _, small = open_encoder(world.store, world.model, world.dictionary)
    small.cache = KeyValueCache(small.cache.compression, capacity=2)
    for seed in (50, 51, 50, 52, 50):
        tiles = image_tiles(picture(seed))
        _, fresh = open_encoder(world.store, world.model, world.dictionary)
        assert np.array_equal(small.retrieve_tiles(tiles, 3), fresh.retrieve_tiles(tiles, 3))
    assert small.cache.statistics.hits > 0


def test_attention_leaves_excluded_photos_out(world: World, encoder: Dictionary) -> None:
    owners = world.dictionary.table("entries", columns=["photo_sha256"])["photo_sha256"].to_pylist()
    patch = encoder.patch(2)
    found = encoder.retrieve(patch, 3, exclude_source=owners[2])[0]
    assert len(set(found)) == 3
    assert all(owners[entry] != owners[2] for entry in found)


def test_a_whole_image_of_any_size_is_one_query(encoder: Dictionary) -> None:
    found = encoder.retrieve(picture(50, 261, 333), 2, scope=Scope.IMAGE, queries=list(Query))
    assert found.shape == (1, 2)


@pytest.mark.medium
def test_references_of_the_whole_image_travel_once(world: World) -> None:
    codec, retriever = open_encoder(world.store, world.model, world.dictionary)
    photo = picture(50)
    each = codec.compress(photo, always=True)
    retriever.scope = Scope.IMAGE
    coded = codec.encoder.code(codec.encoder.analyse(photo, references=True), 50.0, always=True)
    header = Bitstream.from_bytes(coded.data).header
    assert (header.scope, header.tiles, header.queries) == (Scope.IMAGE, 4, 1)
    assert describe(coded.data)["bytes"]["references"] < describe(each)["bytes"]["references"]
    decoder = open_codec(world.store, world.model, world.dictionary)
    assert np.array_equal(decoder.decompress(coded.data), coded.picture)


def test_a_model_is_searched_for_as_it_was_trained(world: World, tmp_path: Path) -> None:
    assert world.model.attributes["retrieval"] == RetrievalConfig().model_dump(mode="json")
    codec, retriever = open_encoder(world.store, world.model, world.dictionary)
    assert codec.retriever is retriever
    assert retriever.cache.capacity == RetrievalConfig().cache_entries
