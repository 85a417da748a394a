"""What one plane does not explain: found, coded where it pays, and decoded without a search."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.api import find_model
from clc.codec.artifacts import read_model
from clc.codec.bitstream import Bitstream
from clc.codec.decisions.targets import Compressed, Target
from clc.codec.key_codec import KeyCodec
from clc.codec.references.displacement_section import pack_displacements
from clc.codec.references.displacements import NODE_STEPS, Displacements, node_counts
from clc.codec.references.lookup import stated_alignment
from clc.codec.references.picture_cache import PictureCache
from clc.codec.references.warp import warp
from clc.dictionary.retrieval.align import PhotoAligner
from clc.dictionary.retrieval.parallax import find_displacements
from clc.errors import BitstreamError
from clc.images.psnr import psnr
from clc.store.shipped import LayeredStore
from tests.dictionary.test_align import MOVED, scene

pytestmark = pytest.mark.medium

HEIGHT, WIDTH = 256, 384
STILL = np.zeros((4, 2), dtype=np.int32)
TARGET = Target.choose(quality=40)


def parallax(reach: float = 4.0) -> Displacements:
    """Of a scene that is nearer below than above: 0 to `reach` pixels, and as far back again."""
    rows, columns = node_counts(HEIGHT, WIDTH, 64)
    x = reach * np.sin(np.linspace(0, np.pi, rows))[:, None] * np.cos(np.linspace(0, 3, columns))
    y = reach / 2 * np.sin(np.linspace(0, 5, columns))[None, :].repeat(rows, axis=0)
    return Displacements(64, np.rint(NODE_STEPS * np.stack([x, y], axis=-1)).astype(np.int32))


def walked(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The scene from some steps away."""
    return warp(photo, MOVED, HEIGHT, WIDTH, (HEIGHT, WIDTH), parallax())


def opened(*, refined: bool = True) -> KeyCodec:
    """With caches of its own."""
    model = find_model(LayeredStore(None), "tiny")
    aligner = partial(PhotoAligner, refined=refined)
    return KeyCodec(read_model(model), model.short_id, aligner=aligner, pictures=PictureCache(None))


@pytest.fixture(scope="module")
def codec() -> KeyCodec:
    return opened()


@pytest.fixture(scope="module")
def by_corners() -> KeyCodec:
    return opened(refined=False)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return scene(0)[:HEIGHT, :WIDTH]


@pytest.fixture(scope="module")
def key(codec: KeyCodec, photo: NDArray[np.uint8]) -> bytes:
    return codec.compress_to(photo, Target.choose(quality=70))[0].data


@pytest.fixture(scope="module")
def coded(codec: KeyCodec, photo: NDArray[np.uint8], key: bytes) -> Compressed:
    return codec.compress_to(walked(photo), TARGET, [key])[0]


def test_displacements_are_found_to_a_quarter_of_a_pixel(photo: NDArray[np.uint8]) -> None:
    shown = warp(photo, STILL, HEIGHT, WIDTH, (HEIGHT, WIDTH), parallax())
    found = {grid.spacing: grid for grid in find_displacements(shown, photo)}
    assert sorted(found) == [32, 64, 128]
    wrong = np.abs(found[64].values - parallax().values)[1:-1, 1:-1] / NODE_STEPS
    assert np.median(wrong) < 1 / 8
    assert np.quantile(wrong, 0.9) < 1 / 4
    errors = [
        np.square(shown.astype(float) - each).mean()
        for each in (photo, warp(photo, STILL, HEIGHT, WIDTH, (HEIGHT, WIDTH), found[64]))
    ]
    assert errors[1] < errors[0] / 8


@pytest.mark.parametrize("size", [(1, 1), (20, 400), (64, 64), (130, 250)])
def test_pictures_of_any_size_are_compared(size: tuple[int, int]) -> None:
    image = scene(1)[: size[0], : size[1]]
    for grid in find_displacements(image, image):
        assert grid.values.shape == (*node_counts(*size, grid.spacing), 2)
        assert np.abs(grid.values).max() <= 1


def test_without_anything_to_see_nothing_is_displaced() -> None:
    flat = np.full((200, 300, 3), 90, dtype=np.uint8)
    assert all(not grid.values.any() for grid in find_displacements(flat, flat + 9))


def test_a_photo_takes_less_with_them_and_a_fresh_codec_decodes_it(
    by_corners: KeyCodec, photo: NDArray[np.uint8], key: bytes, coded: Compressed
) -> None:
    image = walked(photo)
    plain = by_corners.compress_to(image, TARGET, [key])[0]
    assert Bitstream.from_bytes(plain.data).displacements is None
    assert Bitstream.from_bytes(coded.data).displacements is not None
    assert len(coded.data) < 0.8 * len(plain.data)
    shown = opened().decoder([key]).decompress(coded.data)
    assert psnr(image, shown) > psnr(image, by_corners.decoder([key]).decompress(plain.data)) - 0.1


def test_a_camera_that_only_turned_needs_none_or_next_to_nothing(
    codec: KeyCodec, photo: NDArray[np.uint8], key: bytes
) -> None:
    image = warp(photo, MOVED, HEIGHT, WIDTH, (HEIGHT, WIDTH))
    stream = Bitstream.from_bytes(codec.compress_to(image, TARGET, [key])[0].data)
    assert stream.corners is not None
    assert len(stream.displacements or b"") < 40


def test_a_camera_that_has_not_moved_pays_nothing(
    codec: KeyCodec, by_corners: KeyCodec, photo: NDArray[np.uint8], key: bytes
) -> None:
    noisy = np.clip(photo + np.random.default_rng(0).normal(0, 2, photo.shape), 0, 255).astype(np.uint8)
    data = codec.compress_to(noisy, TARGET, [key])[0].data
    assert data == by_corners.compress_to(noisy, TARGET, [key])[0].data
    stream = Bitstream.from_bytes(data)
    assert stream.header.references == 1
    assert stream.displacements is None


def test_other_displacements_than_the_encoders_are_an_error(codec: KeyCodec, key: bytes, coded: Compressed) -> None:
    stream = Bitstream.from_bytes(coded.data)
    alignment = stated_alignment(stream)
    assert alignment is not None
    grid = alignment.views[0].displacements
    assert grid is not None
    decoder = codec.decoder([key])
    grid.values[0, 0] += 1
    for others in (None, pack_displacements((grid,)), pack_displacements((parallax(1.0),))):
        with pytest.raises(BitstreamError, match=r"reference latents|latent is out of range"):
            decoder.decompress(replace(stream, displacements=others).to_bytes())
