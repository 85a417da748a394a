"""Photos that refer to key photos: what comes back, from whom, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clc.api import find_model
from clc.codec.artifacts import read_model
from clc.codec.bitstream import Bitstream
from clc.codec.decisions.targets import Target
from clc.codec.key_codec import KeyCodec
from clc.codec.references.key_photos import keys_id
from clc.codec.references.picture_cache import PictureCache
from clc.dictionary.retrieval.align import PhotoAligner
from clc.errors import BitstreamError, MissingArtifactError
from clc.images.psnr import psnr
from clc.model.conditioning.fusion import Fusions
from clc.model.config import Conditioning, ModelConfig
from clc.model.gain import lagrangian
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.store.shipped import LayeredStore
from tests.archive.samples import bundled_crops
from tests.archive.test_planning import again, scene

GOLDEN = Path(__file__).parent / "golden_keys"
GOLDEN_DECIBELS = 32.191
TARGET = Target.choose(quality=40)
FINER = Target.choose(quality=70)


def opened() -> KeyCodec:
    """With caches of its own."""
    model = find_model(LayeredStore(None), "tiny")
    return KeyCodec(read_model(model), model.short_id, aligner=PhotoAligner, pictures=PictureCache(None))


@pytest.fixture(scope="module")
def codec() -> KeyCodec:
    return opened()


@pytest.fixture(scope="module")
def camera() -> list[NDArray[np.uint8]]:
    return [again(bundled_crops()[0], seed, noise=1.0) for seed in range(3)]


@pytest.fixture(scope="module")
def keys(codec: KeyCodec, camera: list[NDArray[np.uint8]]) -> list[bytes]:
    """Of a stranger, and of the camera."""
    return [codec.compress_to(each, FINER)[0].data for each in (bundled_crops()[1], camera[0])]


@pytest.mark.medium
def test_it_takes_less_than_half_and_a_fresh_codec_decodes_it(
    codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]
) -> None:
    alone, _ = codec.compress_to(camera[1], TARGET)
    coded, used = codec.compress_to(camera[1], TARGET, keys)
    assert used == (1,)
    assert len(coded.data) < len(alone.data) / 2
    here = codec.decoder([keys[1]]).decompress(coded.data)
    assert np.array_equal(opened().decoder([keys[1]]).decompress(coded.data), here)
    error, error_alone = (
        np.square(camera[1].astype(float) - each).mean() for each in (here, codec.decoder().decompress(alone.data))
    )
    assert error < 1.1 * error_alone


@pytest.mark.medium
def test_several_key_photos_of_the_camera_are_blended_and_those_that_are_not_used_are_not_named(
    codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]
) -> None:
    second = codec.compress_to(camera[2], FINER)[0].data
    coded, used = codec.compress_to(camera[1], TARGET, [*keys, second])
    header = Bitstream.from_bytes(coded.data).header
    assert (len(used), sorted(used)) == (2, [1, 2])
    assert (header.references, header.known, header.is_blended) == (2, 1, True)
    both = opened().decoder([[*keys, second][place] for place in used]).decompress(coded.data)
    with_one = codec.compress_to(camera[1], TARGET, keys)[0].data
    assert psnr(camera[1], both) > psnr(camera[1], codec.decoder([keys[1]]).decompress(with_one))
    # A key photo that shows half of it explains some, but is not worth being decoded.
    half = camera[2].copy()
    half[:, half.shape[1] // 2 :] = 255 - half[:, half.shape[1] // 2 :]
    worse = codec.compress_to(half, FINER)[0].data
    coded, used = codec.compress_to(camera[1], TARGET, [keys[1], worse])
    assert len(used) == Bitstream.from_bytes(coded.data).header.references
    assert codec.decoder([[keys[1], worse][place] for place in used]).decompress(coded.data).shape == camera[1].shape


@pytest.mark.medium
def test_what_is_like_no_key_photo_is_coded_alone(codec: KeyCodec, keys: list[bytes]) -> None:
    stranger = scene(9, 160, 224)
    coded, used = codec.compress_to(stranger, TARGET, keys)
    assert used == ()
    assert coded.data == codec.compress_to(stranger, TARGET)[0].data


def test_other_key_photos_are_refused_by_name(
    codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]
) -> None:
    coded, _ = codec.compress_to(camera[1], TARGET, keys)
    for others in ([keys[0]], [keys[1], keys[0]]):
        with pytest.raises(MissingArtifactError, match="references"):
            codec.decoder(others).decompress(coded.data)


def test_a_key_photo_that_refers_to_others_is_refused(
    codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]
) -> None:
    deeper, _ = codec.compress_to(camera[1], TARGET, keys)
    with pytest.raises(BitstreamError, match="coded alone"):
        codec.compress_to(camera[2], TARGET, [deeper.data])


def test_references_cannot_be_tiles_of_key_photos(
    codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]
) -> None:
    stream = Bitstream.from_bytes(codec.compress_to(camera[1], TARGET, keys)[0].data)
    assert stream.corners is not None
    assert not stream.corners.any()
    assert stream.entries.tolist() == [[0]]


@pytest.mark.medium
def test_threads_share_a_codec(codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]) -> None:
    photos = [again(camera[0], seed, 2.0) for seed in range(6)]
    one_by_one = [codec.compress_to(photo, TARGET, keys)[0].data for photo in photos]
    fresh = opened()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda photo: fresh.compress_to(photo, TARGET, keys)[0].data, photos))
    assert together == one_by_one


def test_streams_that_were_written_once_decode_for_ever() -> None:
    """Written by `compress_to` of the crops with the model that ships as `tiny`; never written again."""
    key, referring = ((GOLDEN / name).read_bytes() for name in ("key-photo.clc", "refers-to-key-photo.clc"))
    place = again(bundled_crops()[0], 1, noise=1.0)
    assert Bitstream.from_bytes(referring).header.dictionary_id == keys_id([key])
    assert psnr(place, opened().decoder([key]).decompress(referring)) == pytest.approx(GOLDEN_DECIBELS, abs=0.01)


def fused_codec(seed: int) -> KeyCodec:
    """The model with fusions that change little, but something."""
    version = find_model(LayeredStore(None), "tiny")
    model = read_model(version)
    model.config = ModelConfig.model_validate(model.config.model_dump() | {"conditioning": Conditioning.FUSED})
    assert isinstance(model.config.transform, ConvolutionalConfig)
    torch.manual_seed(seed)
    for name in ("fuse_a", "fuse_s"):
        fusions = Fusions(model.config.fusion, model.config.transform.widths)
        for fusion in fusions:
            torch.nn.init.normal_(fusion.conv2.weight, std=3e-3)
        setattr(model, name, fusions.eval())
    return KeyCodec(model, version.short_id, aligner=PhotoAligner, pictures=PictureCache(None))


class TestFusion:
    @pytest.mark.medium
    def test_a_fresh_codec_shows_what_the_encoder_saw(self, camera: list[NDArray[np.uint8]], keys: list[bytes]) -> None:
        codec = fused_codec(0)
        coded, used = codec.compress_to(camera[1], Target.choose(psnr=35), keys)
        assert used == (1,)
        shown = fused_codec(0).decoder([keys[1]]).decompress(coded.data)
        assert psnr(camera[1], shown) == pytest.approx(coded.psnr, abs=1e-6)

    @pytest.mark.medium
    def test_the_fusions_act_in_the_decoder(self, camera: list[NDArray[np.uint8]], keys: list[bytes]) -> None:
        coded, _ = fused_codec(0).compress_to(camera[1], TARGET, keys)
        pictures = [fused_codec(seed).decoder([keys[1]]).decompress(coded.data) for seed in (0, 1)]
        assert not np.array_equal(*pictures)

    @pytest.mark.medium
    def test_the_photo_is_analysed_with_its_references(
        self, codec: KeyCodec, camera: list[NDArray[np.uint8]], keys: list[bytes]
    ) -> None:
        streams = {codec.compress_to(camera[1], TARGET, keys)[0].data}
        streams |= {fused_codec(seed).compress_to(camera[1], TARGET, keys)[0].data for seed in (0, 1)}
        assert len(streams) == 3

    def test_alone_it_is_the_model_without(self, codec: KeyCodec, camera: list[NDArray[np.uint8]]) -> None:
        assert fused_codec(0).compress_to(camera[1], TARGET)[0].data == codec.compress_to(camera[1], TARGET)[0].data

    @pytest.mark.medium
    def test_effort_knows_the_fusions(self, camera: list[NDArray[np.uint8]], keys: list[bytes]) -> None:
        codec, target = fused_codec(0), Target.choose(quality=80)
        costs = []
        for effort in (0, 5):
            coded, _ = codec.compress_to(camera[1], target, keys, effort=effort)
            shown = codec.decoder([keys[1]]).decompress(coded.data)
            squared = float(np.square(np.subtract(camera[1], shown, dtype=np.float64)).sum()) / 3
            costs.append(8 * len(coded.data) + lagrangian(80.0) * squared)
        assert costs[1] < costs[0]
