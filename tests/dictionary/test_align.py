"""Photos of a dictionary that show the same from elsewhere: found, aligned, used, and decoded without a search."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.codec.artifacts import open_codec, read_model, reference_latents
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.references.pictures import DictionaryPhotos
from clc.codec.references.warp import CORNER_STEPS, warp
from clc.dictionary.build import build_dictionary
from clc.dictionary.retrieval.align import PhotoAligner
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.dictionary.stages.cluster import ClusterConfig
from clc.dictionary.stages.patches import CropConfig
from clc.errors import BitstreamError, MissingArtifactError
from clc.images import open_source
from clc.model.config import Conditioning
from clc.model.network import CompressionModel
from clc.store import Kind, Store, Version, copy_version
from clc.store.shipped import LayeredStore
from tests.conftest import DICTIONARY_CONFIGS

pytestmark = pytest.mark.medium

HEIGHT, WIDTH = 384, 512
MOVED = np.array([[9, -5], [3, -8], [14, 2], [1, 6]], dtype=np.int32) * CORNER_STEPS
WHOLE = {
    **DICTIONARY_CONFIGS,
    "crop_config": CropConfig(stride=128),
    "cluster_config": ClusterConfig(entries=None, near_duplicates=None),
}
"""A dictionary that shows its photos as a whole."""


def scene(seed: int) -> NDArray[np.uint8]:
    """Blobs and lines of every size: something to recognise, unlike waves and noise."""
    generator = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), 120.0)
    for _ in range(260):
        height, width = generator.integers(4, 50, 2)
        y, x = generator.integers(0, HEIGHT - height), generator.integers(0, WIDTH - width)
        image[y : y + height, x : x + width] = generator.uniform(20, 235, 3)
    return image.astype(np.uint8)


def moved(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same scene, from where the next photo was taken."""
    return warp(photo, MOVED, HEIGHT, WIDTH, (HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(3):
        Image.fromarray(scene(seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return LayeredStore(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def dictionary(folder: Path, store: Store) -> Version:
    return build_dictionary(open_source(f"folder:{folder}"), store=store, **WHOLE).version


@pytest.fixture(scope="module")
def whole_photos(dictionary: Version) -> DictionaryPhotos:
    return DictionaryPhotos(dictionary)


@pytest.fixture(scope="module")
def model(store: Store) -> Version:
    """The shipped one: what was trained for a few steps has no use for references."""
    return store.get(Kind.MODEL, "tiny")


@pytest.fixture(scope="module")
def codec(store: Store, model: Version, dictionary: Version) -> Codec:
    reference_latents(dictionary, model, store=store)
    return open_encoder(store, model, dictionary)[0]


@pytest.fixture(scope="module")
def data(codec: Codec) -> bytes:
    """A photo with an aligned reference."""
    return codec.compress(moved(scene(0)))


@pytest.fixture(scope="module")
def sound(data: bytes) -> Bitstream:
    return Bitstream.from_bytes(data)


def all_entries(dictionary: Version) -> NDArray[np.int64]:
    return np.arange(dictionary.attributes["entries"])[None]


def test_photos_are_put_together_from_their_entries(whole_photos: DictionaryPhotos) -> None:
    found = [whole_photos.photo(name) for name in whole_photos.shown()]
    assert len(found) == 3
    for seed in range(3):
        assert any(np.array_equal(photo, scene(seed)) for photo in found)


def test_every_entry_names_its_photo(whole_photos: DictionaryPhotos, dictionary: Version) -> None:
    for entry in all_entries(dictionary)[0]:
        assert np.array_equal(whole_photos.photo(entry), whole_photos.photo(whole_photos.name(entry)))


def test_a_dictionary_of_samples_shows_no_photo(world) -> None:
    assert DictionaryPhotos(world.dictionary).shown() == []


def test_a_moved_camera_is_found_to_a_fraction_of_a_pixel(whole_photos: DictionaryPhotos, dictionary: Version) -> None:
    alignment = PhotoAligner(whole_photos).align(moved(scene(1)), all_entries(dictionary), 3)
    assert alignment is not None
    assert np.array_equal(whole_photos.photo(int(alignment.entries[0])), scene(1))
    assert np.abs(alignment.views[0].corners - MOVED).max() <= CORNER_STEPS
    assert len(alignment.entries) == 1  # the other scenes explain nothing


def test_a_camera_that_moved_by_half_a_pixel_is_no_camera_that_stood_still(
    whole_photos: DictionaryPhotos, dictionary: Version
) -> None:
    """As it lies, the photo explains more than half of the image, but the half that is left takes most of the bytes."""
    by_half = np.tile(np.array([CORNER_STEPS // 2, CORNER_STEPS // 2 + 1], dtype=np.int32), (4, 1))
    image = warp(scene(1), by_half, HEIGHT, WIDTH, (HEIGHT, WIDTH))
    alignment = PhotoAligner(whole_photos).align(image, all_entries(dictionary), 3)
    assert alignment is not None
    assert np.abs(alignment.views[0].corners - by_half).max() <= CORNER_STEPS // 4


def test_a_camera_that_stood_still_is_found_exactly(whole_photos: DictionaryPhotos, dictionary: Version) -> None:
    alignment = PhotoAligner(whole_photos).align(scene(2), all_entries(dictionary), 3)
    assert alignment is not None
    assert not alignment.views[0].corners.any()


class Shots:
    """Photos that are named by their places."""

    bytes = 0

    def __init__(self, photos: list[NDArray[np.uint8]]) -> None:
        self._photos = photos

    def key(self, entry: int) -> int:
        return entry

    def photo(self, entry: int) -> NDArray[np.uint8]:
        return self._photos[entry]

    def name(self, entry: int) -> int:
        return entry

    def shown(self) -> list[int]:
        return list(range(len(self._photos)))

    def size(self, entry: int) -> tuple[int, int]:
        return self._photos[entry].shape[:2]


def test_all_that_show_the_same_are_taken_and_strangers_are_not() -> None:
    """Each has noise of its own, which blending averages, though the best leaves the others little to explain."""

    def shot(seed: int) -> NDArray[np.uint8]:
        noise = np.random.default_rng(seed).normal(0.0, 3.0, (HEIGHT, WIDTH, 3))
        return np.clip(scene(1) + noise, 0, 255).astype(np.uint8)

    photos = Shots([scene(0), shot(1), scene(2), shot(2), shot(3)])
    none = np.empty((0, 0), dtype=np.int64)
    found = PhotoAligner(photos).align(shot(9), none, 5)
    assert found is not None
    assert sorted(found.entries.tolist()) == [1, 3, 4]
    few = PhotoAligner(photos).align(shot(9), none, 2)
    assert few is not None
    assert few.entries.tolist() == found.entries[:2].tolist()


@pytest.mark.parametrize("image", [scene(9), np.full((HEIGHT, WIDTH, 3), 90, np.uint8), scene(0)[:1, :1]])
def test_nothing_is_aligned_with_what_is_not_there(
    image: NDArray[np.uint8], whole_photos: DictionaryPhotos, dictionary: Version
) -> None:
    assert PhotoAligner(whole_photos).align(image, all_entries(dictionary), 3) is None


@pytest.mark.parametrize("size", [pytest.param((HEIGHT, WIDTH), marks=pytest.mark.slow), (250, 200), (301, 399)])
def test_an_aligned_reference_saves_most_and_comes_back(codec: Codec, size: tuple[int, int]) -> None:
    image = moved(scene(0))[: size[0], : size[1]]
    analysis = codec.encoder.analyse(image, references=True)
    tiles, aligned = (codec.encoder.code_with(analysis, 50, choice) for choice in analysis.choices)
    assert len(aligned.data) < 0.6 * len(tiles.data)
    data = codec.compress(image)
    assert data == aligned.data
    assert Bitstream.from_bytes(data).header.is_aligned
    assert np.array_equal(codec.decompress(data), aligned.picture)


@pytest.mark.slow
def test_another_process_decodes_it_with_other_threads_and_instructions(
    codec: Codec, data: bytes, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "photo.clc").write_bytes(data)
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2", "CLC_STORE": store.url}
    command = [sys.executable, "-m", "clc", "decompress", "photo.clc", "photo.png"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)  # it compares checksums of the latents
    there = np.asarray(Image.open(tmp_path / "photo.png")).astype(int)
    assert np.abs(there - codec.decompress(data)).max() <= 1


def test_other_corners_are_noticed(codec: Codec, sound: Bitstream) -> None:
    assert sound.corners is not None
    with pytest.raises(BitstreamError, match="damaged"):
        codec.decompress(replace(sound, corners=sound.corners + 8).to_bytes())


@pytest.mark.parametrize("corners", [[(0, 0), (0, 0), (0, 0), (-510, -380)], [(0, 0)] * 2 + [(0, -HEIGHT)] * 2])
def test_corners_that_make_no_sense_are_refused(codec: Codec, sound: Bitstream, corners: list[tuple[int, int]]) -> None:
    placed = np.array([corners] * sound.header.references, dtype=np.int32) * CORNER_STEPS
    with pytest.raises(BitstreamError, match="aligned by corners"):
        codec.decompress(replace(sound, corners=placed).to_bytes())


def test_an_entry_outside_the_dictionary_is_refused(codec: Codec, sound: Bitstream) -> None:
    beyond = np.full_like(sound.entries, 2**sound.header.index_bits - 1)
    with pytest.raises(BitstreamError, match="outside the dictionary"):
        codec.decompress(replace(sound, entries=beyond).to_bytes())


def test_without_the_pictures_a_decoder_says_what_to_import_and_an_encoder_aligns_nothing(
    codec: Codec, data: bytes, dictionary: Version, tmp_path: Path
) -> None:
    elsewhere = LayeredStore(str(tmp_path / "store"))
    stripped = copy_version(dictionary, elsewhere, emptied=frozenset({"image"}))
    assert codec.latents is not None
    bare = Codec(codec.model, codec.model_id, codec.latents, codec.retriever, DictionaryPhotos(stripped))
    with pytest.raises(MissingArtifactError, match="without the pictures"):
        bare.decompress(data)
    assert DictionaryPhotos(stripped).shown() == []


def test_a_decoder_finds_all_it_needs_by_the_ids_of_the_stream(
    codec: Codec, data: bytes, store: Store, model: Version, dictionary: Version
) -> None:
    assert np.array_equal(open_codec(store, model, dictionary).decompress(data), codec.decompress(data))


def test_a_model_whose_latents_depend_on_references_aligns_none(world) -> None:
    network: CompressionModel = read_model(world.model)
    assert network.config.conditioning is Conditioning.PAPER
    codec = open_encoder(world.store, world.model, world.dictionary)[0]
    assert len(codec.encoder.analyse(scene(0), references=True).choices) == 1


def test_pictures_count_where_an_encoder_aligns(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codec.latents is not None
    pictured = codec.lookup.bytes
    config = codec.model.config.model_copy(update={"conditioning": Conditioning.BOTH})
    monkeypatch.setattr(codec.model, "config", config)
    assert codec.lookup.bytes == codec.latents.values.nbytes < pictured
