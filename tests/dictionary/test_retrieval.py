"""Retrieval is exact, deterministic, and never returns the query's own photo when told not to."""

import numpy as np
import pytest

from clc.dictionary.assignments import centre
from clc.dictionary.dictionary import Dictionary, load_index
from clc.dictionary.index import FaissFlat, KeyBallTree, SearchMethod
from clc.errors import DictionaryError
from clc.images.patch import decode_patches
from tests.conftest import World


@pytest.fixture(scope="module", params=list(SearchMethod))
def dictionary(world: World, request: pytest.FixtureRequest) -> Dictionary:
    return Dictionary(world.dictionary, method=request.param)


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
    for index in (FaissFlat.build(keys), KeyBallTree.build(keys, leaf_size=2)):
        dictionary = Dictionary.__new__(Dictionary)
        dictionary.keys, dictionary._index = keys, index
        entries, _ = dictionary.search(np.eye(4, dtype=np.float32)[[2]], 3)
        assert entries.tolist() == [[10, 11, 12]]


def test_entries_of_an_excluded_photo_are_left_out(world: World, dictionary: Dictionary) -> None:
    owners = world.dictionary.table("entries", columns=["image_id"])["image_id"].to_pylist()
    patches = np.stack([dictionary.patch(entry) for entry in range(4)])
    entries = dictionary.retrieve_tiles(patches, 3, exclude_source=owners[:4])
    for row, owner in zip(entries, owners[:4], strict=True):
        assert all(owners[entry] != owner for entry in row)


def test_more_references_than_entries_are_refused(dictionary: Dictionary) -> None:
    with pytest.raises(DictionaryError, match="offers only 16 entries"):
        dictionary.search(dictionary.keys[:1], 17)


def test_another_backbone_than_the_built_one_is_refused(world: World) -> None:
    with pytest.raises(DictionaryError, match="built with features hog-1"):
        Dictionary(world.dictionary, backbone="random:0")


@pytest.mark.parametrize("method", list(SearchMethod))
def test_a_loaded_index_answers_as_the_built_one(world: World, dictionary: Dictionary, method: SearchMethod) -> None:
    built = (
        FaissFlat.build(dictionary.keys)
        if method is SearchMethod.FAISS
        else KeyBallTree.build(dictionary.keys, world.dictionary.attributes["leaf_size"])
    )
    loaded = load_index(world.dictionary, dictionary.keys, method)
    queries = np.random.default_rng(1).normal(0, 1, (40, dictionary.keys.shape[1])).astype(np.float32)
    assert np.array_equal(built.candidates(queries, 5), loaded.candidates(queries, 5))


def test_assignments_are_what_retrieval_gives_for_each_crop(world: World, dictionary: Dictionary) -> None:
    crops = world.crops.table("patches")
    tiles = centre(decode_patches(crops["image"]), 256)
    expected = dictionary.retrieve_tiles(tiles, 3, exclude_source=crops["image_id"].to_pylist())
    assert world.assignments.table("assignments")["entries"].to_pylist() == expected.tolist()
