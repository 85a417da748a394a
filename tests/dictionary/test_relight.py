"""Photos at another exposure: found, coded with it where it pays, and decoded without a search."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.decisions.block_costs import costs_after, costs_alone
from clc.codec.decisions.targets import Target
from clc.codec.key_codec import KeyCodec
from clc.codec.references.light import GAIN_STEPS, Light, pack_lights
from clc.codec.references.lookup import stated_alignment
from clc.codec.references.warp import warp
from clc.dictionary.retrieval import align
from clc.dictionary.retrieval.relight import find_light, in_best_light
from clc.dictionary.retrieval.resemblance import resemblance, thumbnail
from clc.errors import BitstreamError
from clc.images import open_source, read_photos
from clc.images.psnr import psnr
from tests.dictionary.test_align import MOVED, scene
from tests.dictionary.test_parallax import HEIGHT, WIDTH, opened

TARGET = Target.choose(quality=30)


def exposed(photo: NDArray[np.uint8], stops: float) -> NDArray[np.uint8]:
    """As a camera has it that gathers 2^stops times the light."""
    linear = (photo / 255.0) ** 2.2 * 2.0**stops
    return np.rint(255 * linear.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)


@pytest.fixture(scope="module")
def codec() -> KeyCodec:
    return opened()


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return next(iter(read_photos(open_source("bundled"), []))).pixels[:HEIGHT, :WIDTH]


@pytest.fixture(scope="module")
def key(codec: KeyCodec, photo: NDArray[np.uint8]) -> bytes:
    return codec.compress_to(exposed(photo, 1.0), Target.choose(quality=70))[0].data


class TestFinding:
    def test_gains_and_offsets_are_found_although_a_quarter_shows_something_else(self, photo) -> None:
        light = Light((48, 64, 56), (-20, 5, -12))
        image = light.on(photo)
        image[: HEIGHT // 2, : WIDTH // 2] = scene(1)[: HEIGHT // 2, : WIDTH // 2]
        found = find_light(image, photo)
        assert found is not None
        assert np.abs(np.subtract(found.gains, light.gains)).max() <= 2
        assert np.abs(np.subtract(found.offsets, light.offsets)).max() <= 2

    def test_the_same_light_is_none(self, photo: NDArray[np.uint8]) -> None:
        noisy = np.clip(photo + np.random.default_rng(0).normal(0, 3, photo.shape), 0, 255).astype(np.uint8)
        assert find_light(noisy, photo) is None

    def test_an_exposure_is_nearly_a_gain(self, photo: NDArray[np.uint8]) -> None:
        darker = exposed(photo, -1.0)
        alone = costs_alone(darker)
        light, cost = in_best_light(darker, photo, alone)
        assert light is not None
        assert all(abs(gain / GAIN_STEPS - 2 ** (-1 / 2.2)) < 0.05 for gain in light.gains)
        assert cost.sum() < 0.1 * np.minimum(costs_after(darker, photo), alone).sum()

    def test_where_it_saves_little_photos_stay_as_they_are(self) -> None:
        first, other = scene(1), scene(2)
        light, cost = in_best_light(first, other, costs_alone(first))
        assert light is None
        assert np.array_equal(cost, costs_after(first, other))

    @pytest.mark.parametrize("level", [0, 255])
    def test_pictures_of_one_colour_have_a_light(self, level: int) -> None:
        flat = np.full((32, 32, 3), level, dtype=np.uint8)
        other = np.full((32, 32, 3), 100, dtype=np.uint8)
        light = find_light(other, flat)
        assert light is not None
        assert np.abs(light.on(flat).astype(int) - 100).max() < 4  # the levels of a bin count as one

    def test_bracketed_photos_resemble_each_other(self, photo: NDArray[np.uint8]) -> None:
        thumbnails = [thumbnail(each) for each in (photo, exposed(photo, -1.0), exposed(photo, 1.0))]
        left = resemblance(thumbnails, moved=False).among(np.arange(3))
        assert left[~np.eye(3, dtype=bool)].max() < 0.4


@pytest.mark.medium
class TestCoding:
    def test_a_photo_at_another_exposure_takes_less_in_its_light_and_a_fresh_codec_decodes_it(
        self, codec: KeyCodec, photo: NDArray[np.uint8], key: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        coded = codec.compress_to(photo, TARGET, [key])[0].data
        stream = Bitstream.from_bytes(coded)
        alignment = stated_alignment(stream)
        assert alignment is not None
        assert [view.light for view in alignment.views] != [None]
        assert stream.light is not None
        assert len(stream.light) <= 13
        monkeypatch.setattr(align, "in_best_light", lambda image, seen, _: (None, costs_after(image, seen)))
        as_it_is = opened().compress_to(photo, TARGET, [key])[0].data
        assert Bitstream.from_bytes(as_it_is).light is None
        assert len(coded) < 0.8 * len(as_it_is)
        decoder = opened().decoder([key])
        assert psnr(photo, decoder.decompress(coded)) > psnr(photo, codec.decoder([key]).decompress(as_it_is))

    def test_a_moved_camera_sees_other_light_too(self, codec: KeyCodec, photo: NDArray[np.uint8], key: bytes) -> None:
        moved = warp(photo, MOVED, HEIGHT, WIDTH, (HEIGHT, WIDTH))
        stream = Bitstream.from_bytes(codec.compress_to(moved, TARGET, [key])[0].data)
        assert stream.corners is not None
        assert stream.corners.any()
        assert stream.light is not None

    def test_the_same_exposure_pays_nothing(self, codec: KeyCodec, photo: NDArray[np.uint8], key: bytes) -> None:
        noisy = np.clip(exposed(photo, 1.0) + np.random.default_rng(0).normal(0, 3, photo.shape), 0, 255)
        stream = Bitstream.from_bytes(codec.compress_to(noisy.astype(np.uint8), TARGET, [key])[0].data)
        assert stream.header.references == 1
        assert stream.light is None

    def test_other_light_than_the_encoders_is_an_error(
        self, codec: KeyCodec, photo: NDArray[np.uint8], key: bytes
    ) -> None:
        stream = Bitstream.from_bytes(codec.compress_to(photo, TARGET, [key])[0].data)
        for light in (None, pack_lights((Light((70, 70, 70), (0, 0, 0)),))):
            with pytest.raises(BitstreamError, match=r"reference latents|latent is out of range"):
                codec.decoder([key]).decompress(replace(stream, light=light).to_bytes())
