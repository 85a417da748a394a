"""Effort costs time and nothing else: any decoder reads what it leads to, and a file is never worse for it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from clc.api import find_model
from clc.codec.artifacts import read_model
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.decisions import regions as regions_of
from clc.codec.decisions.effort import EFFORT_MAX
from clc.codec.decisions.regions import regions
from clc.codec.references.protocols import ReferenceLatents
from clc.codec.safety.net import Candidate
from clc.errors import ProfileError
from clc.model.conditioning.int8 import quantise
from clc.model.differentiable import differentiable
from clc.model.network import CompressionModel
from clc.model.tiles import split_latent, to_padded_tensor
from clc.store.shipped import LayeredStore
from tests.conftest import picture

MODEL_ID, DICTIONARY_ID = "5ea5c0de" * 2, "d1c710a2" * 2
DECODE = """
import sys
from pathlib import Path
from PIL import Image
from clc.store_decoder import StoreDecoder
from clc.store.shipped import LayeredStore
StoreDecoder(LayeredStore(sys.argv[1])).decompress(Path(sys.argv[2]).read_bytes()).save(sys.argv[3])
"""


class AllEntries:
    """Finds every entry for every tile."""

    def __init__(self, tiles: int, entries: int) -> None:
        self.found = np.broadcast_to(np.arange(entries), (tiles, entries)).astype(np.int64)

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        return self.found[:, :number]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LayeredStore:
    """What ships: what was trained for a few steps codes next to no picture by itself."""
    return LayeredStore(str(tmp_path_factory.mktemp("empty")))


@pytest.fixture(scope="module")
def model(store: LayeredStore) -> CompressionModel:
    return read_model(find_model(store))


@pytest.fixture(scope="module")
def codec(model: CompressionModel) -> Codec:
    return Codec(model, MODEL_ID)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return smooth(picture(3, 150, 200))


def smooth(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without the noise, which nothing can be saved of."""
    return np.asarray(Image.fromarray(image).reduce(2).resize(image.shape[1::-1], Image.Resampling.BICUBIC))


def cost(codec: Codec, image: NDArray[np.uint8], data: bytes) -> float:
    """R + λ·255²·D of a file, of what a decoder makes of it."""
    net = codec.encoder.analyse(image, references=False).net
    return net.cost(Candidate(Bitstream.from_bytes(data), codec.decompress(data)))


@pytest.mark.medium
@pytest.mark.parametrize("quality", [10.0, 60.0, 95.0])
def test_effort_costs_less_and_a_fresh_decoder_shows_what_the_encoder_saw(
    codec: Codec, model: CompressionModel, photo: NDArray[np.uint8], quality: float
) -> None:
    analysis = codec.encoder.analyse(photo, references=False)
    plain, refined = (codec.encoder.code(analysis, quality, effort=effort) for effort in (0, 3))
    assert plain.stream.picture is refined.stream.picture is None  # coded by the network
    assert cost(codec, photo, refined.data) < 0.998 * cost(codec, photo, plain.data)
    assert np.array_equal(Codec(model, MODEL_ID).decompress(refined.data), refined.picture)


@pytest.mark.medium
def test_more_effort_finds_more(codec: Codec, photo: NDArray[np.uint8]) -> None:
    small = photo[:100, :120]
    costs = [cost(codec, small, codec.compress(small, references=False, effort=effort)) for effort in (0, 1, 6)]
    assert sorted(costs, reverse=True) == costs
    assert len(set(costs)) == 3


@pytest.mark.medium
def test_the_quality_stays_and_without_effort_nothing_changes(codec: Codec, photo: NDArray[np.uint8]) -> None:
    refined = Bitstream.from_bytes(codec.compress(photo, quality=33.0, references=False, effort=2))
    assert refined.header == Bitstream.from_bytes(codec.compress(photo, quality=33.0, references=False)).header
    alone = codec.compress(photo, quality=33.0, references=False, effort=0)
    assert alone == codec.compress(photo, quality=33.0, references=False)


@pytest.mark.medium
def test_another_encoder_finds_the_same(codec: Codec, model: CompressionModel, photo: NDArray[np.uint8]) -> None:
    small = photo[:90, :70]
    found = codec.compress(small, references=False, effort=6)
    torch.rand(7)  # what others draw does not matter
    assert Codec(model, MODEL_ID).compress(small, references=False, effort=6) == found


@pytest.mark.medium
@pytest.mark.parametrize("effort", [1, 6])
def test_a_single_pixel_comes_back(codec: Codec, effort: int) -> None:
    image = np.array([[[200, 30, 90]]], dtype=np.uint8)
    data = codec.compress(image, references=False, effort=effort)
    assert codec.decompress(data).shape == (1, 1, 3)
    assert cost(codec, image, data) <= cost(codec, image, codec.compress(image, references=False))


@pytest.mark.medium
@pytest.mark.parametrize("always", [False, True])
def test_one_colour_is_never_worse(codec: Codec, always: bool) -> None:
    image = np.full((80, 70, 3), (12, 200, 40), dtype=np.uint8)
    plain, refined = (codec.compress(image, references=False, always=always, effort=effort) for effort in (0, 4))
    assert cost(codec, image, refined) <= cost(codec, image, plain)


def test_what_the_safety_net_doubts_stays_as_it_is(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (64, 96, 1), dtype=np.uint8).repeat(3, axis=2) * 255
    assert codec.compress(noise, references=False, effort=2) == codec.compress(noise, references=False)


@pytest.mark.medium
def test_a_photo_with_references_is_refined_with_them(model: CompressionModel) -> None:
    image = smooth(picture(4, 256, 300))
    like = np.clip(np.roll(image, 1, axis=1).astype(int) + 3, 0, 255).astype(np.uint8)
    with torch.inference_mode():
        tiles = [split_latent(model.g_a(to_padded_tensor(each[None]))) for each in (like, smooth(picture(5, 256, 300)))]
    values, exponents = quantise(torch.cat(tiles), finest=model.gain.finest_exponents)
    latents = ReferenceLatents(values.numpy(), exponents.numpy(), DICTIONARY_ID, MODEL_ID)
    codec = Codec(model, MODEL_ID, latents, AllEntries(2, len(values)))
    plain, refined = (codec.compress(image, quality=40.0, effort=effort) for effort in (0, 3))
    assert Bitstream.from_bytes(plain).header.references == Bitstream.from_bytes(refined).header.references == 3
    assert cost(codec, image, refined) < cost(codec, image, plain)
    assert np.array_equal(
        Codec(model, MODEL_ID, latents).decompress(refined), codec.decompress(refined)
    )  # which checks ŷ


def test_a_model_that_fuses_references_is_refined_as_well(world, network_only: None) -> None:
    from clc.dictionary.retrieval.open_encoder import open_encoder

    codec = open_encoder(world.store, world.model, world.dictionary)[0]
    image = picture(6, 64, 64)
    analysis = codec.encoder.analyse(image, references=True)
    plain, refined = (codec.encoder.code(analysis, 50.0, effort=effort) for effort in (0, 2))
    assert refined.stream.header.references > 0
    net = analysis.net
    assert net.cost(Candidate(refined.stream, refined.picture)) < net.cost(Candidate(plain.stream, plain.picture))
    assert np.array_equal(codec.decompress(refined.data), refined.picture)


@pytest.mark.medium
def test_a_decoder_in_another_process_needs_to_know_nothing_of_it(
    store: LayeredStore, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    version = find_model(store)
    encoder = Codec(read_model(version), version.short_id).encoder
    coded = encoder.code(encoder.analyse(photo, references=False), 50.0, effort=1)
    stream, shown = tmp_path / "a.clc", tmp_path / "a.png"
    stream.write_bytes(coded.data)
    command = [sys.executable, "-c", DECODE, str(tmp_path / "store"), str(stream), str(shown)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert np.abs(np.asarray(Image.open(shown)).astype(int) - coded.picture).max() <= 1


@pytest.mark.parametrize("effort", [-1, EFFORT_MAX + 1, 2.5, True])
def test_any_other_effort_is_refused(codec: Codec, photo: NDArray[np.uint8], effort: object) -> None:
    with pytest.raises(ProfileError, match=r"effort must be a whole number from 0 to 9, not"):
        codec.compress(photo, references=False, effort=effort)  # type: ignore[arg-type]


@pytest.mark.parametrize("whole_tiles", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (1088, 64), (2112, 1344)])
def test_regions_cover_a_latent_once_and_start_where_they_may(size: tuple[int, int], whole_tiles: bool) -> None:
    height, width = (side // 16 for side in size)
    covered, across = torch.zeros(1, 1, height, width), -(-width // 16)
    numbers = torch.arange(height * width).view(1, 1, height, width)
    for region in regions(*size, whole_tiles=whole_tiles):
        seen = torch.ones_like(region.of(covered))
        before = covered.clone()
        region.put(covered, seen + region.of(covered))
        assert (covered - before).sum() == (covered != before).sum()
        if whole_tiles:
            first = int(region.of(numbers)[0, 0, 0, 0])
            assert first // width % 16 == first % width % 16 == 0
            assert int(region.tiles[0]) == first // width // 16 * across + first % width // 16
            assert len(region.tiles) == -(-seen.shape[2] // 16) * -(-seen.shape[3] // 16)
    assert (covered == 1).all()


@pytest.mark.medium
@pytest.mark.parametrize("effort", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_large_photos_are_searched_region_by_region(
    codec: Codec, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, effort: int
) -> None:
    small = photo[:128, :192]
    plain, whole = (cost(codec, small, codec.compress(small, references=False, effort=each)) for each in (0, effort))
    monkeypatch.setattr(regions_of, "_SIDE", 4)  # as if the photo were large
    parts = cost(codec, small, codec.compress(small, references=False, effort=effort))
    assert parts < plain - 0.5 * (plain - whole)


def test_the_differentiable_copy_has_the_rates_of_the_model(model: CompressionModel, photo: NDArray[np.uint8]) -> None:
    image, quality = to_padded_tensor(photo[None]), 50.0
    coded = Codec(model, MODEL_ID).encoder
    stream = coded.code(coded.analyse(photo, references=False), quality).stream
    with torch.inference_mode():
        estimate = differentiable(model)(image, None, quality, synthesise=False)
    bits = 8 * (len(stream.hyper or b"") + len(stream.latent or b""))
    assert float(estimate.latent_bits + estimate.hyper_bits) == pytest.approx(
        bits, rel=0.1
    )  # tables expect more outliers
    assert model.prior.scale.exact  # the model itself is as before
    with pytest.raises(ValueError, match="frozen"):
        differentiable(CompressionModel(model.config))
