"""What a decoder shows is blended with aligned references: nearer to the photo, and never worse for it."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.linear import LinearCoder, grid_shape
from clc.codec.references import blending
from clc.codec.references.blending import WEIGHTS, blended
from clc.codec.stream_header import Scope
from clc.images.psnr import psnr
from tests.codec.golden_files import ALIGNED, golden_codec
from tests.conftest import picture

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return picture(3, 96, 128)


def blurred(photo: Pixels) -> Pixels:
    """As a codec shows it at a low rate: without its detail."""
    rows = sum(np.roll(photo.astype(np.float64), step, axis=0) for step in range(-2, 3)) / 5
    return (sum(np.roll(rows, step, axis=1) for step in range(-2, 3)) / 5).round().astype(np.uint8)


def noisy(photo: Pixels, deviation: float, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0.0, deviation, photo.shape)
    return (photo + noise).round().clip(0, 255).astype(np.uint8)


def test_detail_comes_back_from_another_photo_of_the_same(photo: Pixels) -> None:
    shown = blurred(photo)
    assert psnr(photo, blended(shown, noisy(photo, 3.0)[None], 30.0)) > psnr(photo, shown) + 1.0


def test_several_photos_are_better_than_one(photo: Pixels) -> None:
    shown = blurred(photo)
    views = np.stack([noisy(photo, 6.0, seed) for seed in range(4)])
    alone, together = (psnr(photo, blended(shown, views[:number], 30.0)) for number in (1, 4))
    assert together > alone + 0.2


def test_a_photo_of_something_else_does_hardly_any_harm(photo: Pixels) -> None:
    shown = blurred(photo)
    assert psnr(photo, blended(shown, picture(9, 96, 128)[None], 30.0)) > psnr(photo, shown) - 0.2


def test_what_one_photo_covers_comes_from_another(photo: Pixels) -> None:
    shown, covered = blurred(photo), noisy(photo, 2.0)
    covered[20:70, 30:90] = picture(9, 96, 128)[20:70, 30:90]
    views = np.stack([covered, noisy(photo, 2.0, seed=1)])
    inside = np.s_[24:66, 34:86]
    assert psnr(photo[inside], blended(shown, views, 30.0)[inside]) > psnr(photo[inside], shown[inside]) + 1.0


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (4, 130), (33, 4)])
def test_photos_of_any_size_keep_it(size: tuple[int, int]) -> None:
    pixels = picture(1)[: size[0], : size[1]]
    assert blended(pixels, pixels[None], 50.0).shape == pixels.shape


def test_large_photos_are_blended_in_tiles_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = picture(4)[:150, :140]
    views = noisy(photo, 3.0)[None]
    whole = blended(blurred(photo), views, 40.0)
    monkeypatch.setattr(blending, "_TILE", 64)
    in_tiles = blended(blurred(photo), views, 40.0)
    assert np.abs(whole.astype(int) - in_tiles).max() <= 1


def test_the_filter_is_part_of_the_format() -> None:
    """Other weights would change what existing streams show; they need a scope of their own."""
    assert (
        hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
        == "58fb11468cc9078977e838a7b12cd2f2a3edeac7e041f85551e032d89b1fcd94"
    )


def test_blocks_that_failed_are_coded_beside_what_is_blended() -> None:
    codec, image = golden_codec(), picture(2)[:90, :280]
    references = codec.lookup.aligned(ALIGNED, *image.shape[:2])
    coded = codec.encoder.code_with(codec.encoder.analyse(image, references=False), 60.0, references)
    stream = replace(coded.stream, header=replace(coded.stream.header, scope=Scope.BLENDED))
    shown = codec.decompress(stream.to_bytes())
    fineness = np.full(grid_shape(*image.shape[:2]), -1)
    fineness[1, 3] = 2
    blocks, expected = LinearCoder(codec.model.latent_tables).encode(image, shown, fineness, 60.0)
    assert not np.array_equal(expected, shown)
    assert np.array_equal(codec.decompress(replace(stream, blocks=blocks).to_bytes()), expected)


def test_the_encoder_blends_where_that_is_nearer_to_the_photo_and_the_decoder_does_what_the_stream_says() -> None:
    codec, image = golden_codec(), picture(2)[:90, :280]
    references = codec.lookup.aligned(ALIGNED, *image.shape[:2])
    coded = codec.encoder.code_with(codec.encoder.analyse(image, references=False), 60.0, references)
    streams = {
        scope: replace(coded.stream, header=replace(coded.stream.header, scope=scope))
        for scope in (Scope.ALIGNED, Scope.BLENDED)
    }
    shown = {scope: codec.decompress(stream.to_bytes()) for scope, stream in streams.items()}
    assert not np.array_equal(shown[Scope.ALIGNED], shown[Scope.BLENDED])
    assert coded.stream.header.scope is max(shown, key=lambda scope: psnr(image, shown[scope]))
    assert np.array_equal(coded.picture, shown[coded.stream.header.scope])
    again = Bitstream.from_bytes(streams[Scope.BLENDED].to_bytes())
    assert again.header.scope is Scope.BLENDED
    assert len(streams[Scope.BLENDED].to_bytes()) == len(streams[Scope.ALIGNED].to_bytes())
