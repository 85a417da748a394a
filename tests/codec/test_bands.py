"""Large photos are coded in bands of rows: the same streams and pictures as whole ones."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clc.api import find_model
from clc.codec import banded_model, encoder, frozen_model, latent_coder
from clc.codec.artifacts import find_latents, open_codec, read_model
from clc.codec.bitstream import Bitstream
from clc.codec.key_codec import KeyCodec
from clc.codec.references.protocols import NO_REFERENCES
from clc.codec.safety import block_errors as errors_of
from clc.codec.safety import yardstick as measures
from clc.codec.safety.block_errors import block_errors, squared_error
from clc.codec.safety.yardstick import Yardstick
from clc.errors import BitstreamError
from clc.model.priors import banded
from clc.runtime.advance import Step, listening
from clc.store import Kind
from clc.store.shipped import LayeredStore
from tests.conftest import picture

WIDTH = 200


@pytest.fixture
def in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """All photos are large, and bands as low as they can be."""
    monkeypatch.setattr(frozen_model, "BANDED_FROM", 1)
    monkeypatch.setattr(encoder, "LATENT_KEPT", 0)
    monkeypatch.setattr(banded_model, "_PIXELS_AT_ONCE", 1)
    monkeypatch.setattr(banded, "POSITIONS_AT_ONCE", 1)
    monkeypatch.setattr(latent_coder, "_AT_ONCE", 100)
    monkeypatch.setattr(errors_of, "_PIXELS_AT_ONCE", 1)


@pytest.fixture(scope="module", params=["tiny", "default"])
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KeyCodec:
    torch.set_num_threads(1)
    version = find_model(LayeredStore(tmp_path_factory.mktemp("empty")), request.param)
    return KeyCodec(read_model(version), version.short_id)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return picture(3)[:330, :WIDTH]


@pytest.fixture(scope="module")
def whole(codec: KeyCodec, photo: NDArray[np.uint8]) -> dict[float, tuple[bytes, NDArray[np.uint8]]]:
    analysis = codec.encoder().analyse(photo, references=False)
    coded = {quality: codec.encoder().code(analysis, quality) for quality in (20.0, 85.0)}
    return {quality: (each.data, each.picture) for quality, each in coded.items()}


@pytest.mark.medium
@pytest.mark.usefixtures("in_bands")
def test_streams_and_pictures_are_those_of_whole_photos(
    codec: KeyCodec, photo: NDArray[np.uint8], whole: dict[float, tuple[bytes, NDArray[np.uint8]]]
) -> None:
    analysis = codec.encoder().analyse(photo, references=False)
    assert analysis.latent is None
    for quality, (data, shown) in whole.items():
        coded = codec.encoder().code(analysis, quality)
        assert coded.data == data
        assert np.array_equal(coded.picture, shown)
        assert np.array_equal(codec.decoder().decompress(data), shown)


@pytest.mark.usefixtures("in_bands")
def test_effort_goes_on_from_the_same_latent(codec: KeyCodec, photo: NDArray[np.uint8]) -> None:
    small = np.ascontiguousarray(photo[:64, :64])
    analysis = codec.encoder().analyse(small, references=False)
    coded = codec.encoder().code(analysis, 60.0, effort=1)
    assert np.array_equal(codec.decoder().decompress(coded.data), coded.picture)


@pytest.mark.medium
@pytest.mark.usefixtures("in_bands")
def test_a_damaged_stream_is_refused(codec: KeyCodec, whole: dict[float, tuple[bytes, NDArray[np.uint8]]]) -> None:
    stream = Bitstream.from_bytes(whole[85.0][0])
    assert stream.latent is not None
    generator = np.random.default_rng(0)
    for _ in range(8):
        words = np.frombuffer(stream.latent, "<u4").copy()
        words[generator.integers(len(words))] ^= np.uint32(1 << generator.integers(32))
        damaged = Bitstream(
            stream.header, stream.entries, stream.hyper, words.tobytes(), stream.latent_checksum
        ).to_bytes()
        with pytest.raises(BitstreamError):
            codec.decoder().decompress(damaged)


@pytest.mark.medium
def test_references_act_in_bands_as_on_whole_photos(
    tmp_path: Path, photo: NDArray[np.uint8], request: pytest.FixtureRequest
) -> None:
    store = LayeredStore(tmp_path)
    model = find_model(store, "tiny")
    dictionary = store.get(Kind.DICTIONARY, model.attributes["dictionary"])
    opened = open_codec(store, model, dictionary, latents=find_latents(store, dictionary, model))
    assert opened.latents is not None
    entries = np.random.default_rng(1).integers(0, len(opened.latents), (2, 3))  # two tiles
    used = opened.lookup.entries(entries, *photo.shape[:2])
    analysis = opened.encoder.analyse(photo, references=False)
    before = opened.encoder.code_with(analysis, 60.0, used)
    assert before.stream.header.references == 3
    request.getfixturevalue("in_bands")
    assert opened.encoder.code_with(analysis, 60.0, used).data == before.data
    assert np.array_equal(opened.decompress(before.data), before.picture)


def test_errors_are_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    image, shown = picture(1)[:107, :75], picture(2)[:107, :75]
    blocks, total = block_errors(image, shown), squared_error(image, shown)
    assert total == float(((image.astype(np.int64) - shown) ** 2).sum())
    monkeypatch.setattr(errors_of, "_PIXELS_AT_ONCE", 1)
    assert np.array_equal(block_errors(image, shown), blocks)
    assert squared_error(image, shown) == total


def test_jpeg_files_in_strips_measure_as_whole_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(4)[:300, :400]
    size = 12_000
    whole = Yardstick(image).errors(size)
    monkeypatch.setattr(measures, "_WHOLE", 1)
    monkeypatch.setattr(measures, "_STRIP", 96 * 400)
    strips = Yardstick(image).errors(size)
    assert strips.shape == whole.shape
    assert strips.mean() == pytest.approx(whole.mean(), rel=0.15)  # four files' headers are some of the bytes


@pytest.mark.usefixtures("in_bands")
def test_who_listens_is_told_how_far_it_is(codec: KeyCodec, photo: NDArray[np.uint8]) -> None:
    told: list[tuple[Step, float]] = []
    with listening(lambda step, share: told.append((step, share))):
        coded = codec.encoder().code_with(codec.encoder().analyse(photo, references=False), 30.0, NO_REFERENCES)
    steps = [Step.ANALYSIS, Step.CODING, Step.SYNTHESIS]
    assert list(dict.fromkeys(step for step, _ in told)) == steps
    for step in steps:
        shares = [share for own, share in told if own is step]
        assert all(0.0 < share <= 1.0 for share in shares)
        assert all(before <= after for before, after in pairwise(shares))
        assert shares[-1] == pytest.approx(1.0)
        assert len(shares) > 2
    told.clear()
    with listening(lambda step, share: told.append((step, share))):
        codec.decoder().decompress(coded.data)
    assert list(dict.fromkeys(step for step, _ in told)) == [Step.DECODING, Step.SYNTHESIS]
