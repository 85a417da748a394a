"""No picture comes out destroyed: what the encoder does about what its network fails on."""

import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.codec.bitstream import Bitstream
from clc.codec.linear import LinearCoder
from clc.codec.lossless import lossless_file, read_lossless
from clc.codec.safety.block_errors import block_errors
from clc.codec.safety.net import Candidate, SafetyNet
from clc.codec.safety.yardstick import Yardstick
from clc.codec.stream_header import NO_DICTIONARY, Header
from clc.errors import BitstreamError
from clc.images.patterns import draw_pattern
from clc.model.priors.tables import gaussian_tables
from tests.conftest import picture

SIZE = 160


@dataclass(frozen=True)
class Network:
    """A stand-in for the network's part: a picture, and a stream as large as it is said to be."""

    picture: NDArray[np.uint8]
    size: int
    quality: float = 60.0

    @property
    def coded(self) -> Candidate:
        height, width = self.picture.shape[:2]
        header = Header("ab" * 8, NO_DICTIONARY, height, width, self.quality, references=0, index_bits=0)
        nothing = np.empty((header.queries, 0), dtype=np.int64)
        return Candidate(Bitstream(header, nothing, b"zzzz", bytes(self.size), 0), self.picture)


def caught(image: NDArray[np.uint8], network: Network, keep: bool = False) -> Candidate:
    return SafetyNet(image, LinearCoder(gaussian_tables())).caught(network.coded, keep=keep)


def good(image: NDArray[np.uint8]) -> Network:
    """As good as a JPEG file that is twice as large."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=80, subsampling=0)
    return Network(np.asarray(Image.open(file)), file.tell() // 2)


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    return picture(6)[:SIZE, :SIZE]


def test_the_error_of_a_block_that_reaches_beyond_the_image_is_that_of_its_pixels() -> None:
    first = np.zeros((20, 33, 3), np.uint8)
    second = first.copy()
    second[16:, 32:] = 10
    errors = block_errors(first, second)
    assert errors.shape == (2, 3)
    assert errors[1, 2] == 100.0
    assert errors.sum() == 100.0


def test_what_came_out_well_stays_as_it_is(photo: NDArray[np.uint8]) -> None:
    network = good(photo)
    assert caught(photo, network).stream.to_bytes() == network.coded.stream.to_bytes()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 0, 255), (0, 0, 255)])
def test_a_destroyed_block_is_mended_and_the_rest_untouched(photo: NDArray[np.uint8], colour: tuple[int, ...]) -> None:
    network = good(photo)
    destroyed = network.picture.copy()
    destroyed[32:48, 64:80] = colour
    mended = caught(photo, replace(network, picture=destroyed))
    assert mended.stream.blocks is not None
    assert mended.stream.latent == bytes(network.size)
    errors = block_errors(photo, mended.picture)
    allowed = 10**0.6 * np.maximum(Yardstick(photo).errors(len(mended.stream.to_bytes())), 1.0)
    assert (errors <= allowed).all()
    touched = (mended.picture != destroyed).any(axis=2)
    touched[32:48, 64:80] = False
    assert not touched.any()


def test_a_picture_that_the_network_cannot_code_is_coded_without_it() -> None:
    image = draw_pattern("moire", np.random.default_rng(0), SIZE)
    grey = np.full_like(image, 128)
    safe = caught(image, Network(grey, 20_000))
    assert safe.stream.hyper is None
    assert np.square(image.astype(float) - safe.picture).mean() < 65025 / 10**2.6  # 26 dB


def test_a_drawn_picture_is_kept_losslessly_where_that_is_smaller() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    safe = caught(image, Network(np.full_like(image, 128), 2000))
    assert np.array_equal(safe.picture, image)
    assert safe.stream.picture is not None
    assert len(safe.stream.to_bytes()) < 200


def test_the_network_can_be_kept_to_be_measured() -> None:
    image = draw_pattern("moire", np.random.default_rng(0), SIZE)
    assert caught(image, Network(np.full_like(image, 128), 20_000), keep=True).stream.hyper is not None


def test_a_photo_of_one_pixel_is_safe() -> None:
    image = np.full((1, 1, 3), 77, np.uint8)
    assert caught(image, Network(image, 8)).picture.shape == (1, 1, 3)


def test_a_lossless_picture_comes_back(photo: NDArray[np.uint8]) -> None:
    file = lossless_file(photo)
    assert file is not None
    assert np.array_equal(read_lossless(file, SIZE, SIZE), photo)


def test_a_lossless_picture_of_another_size_or_damaged_is_refused(photo: NDArray[np.uint8]) -> None:
    file = lossless_file(photo)
    assert file is not None
    with pytest.raises(BitstreamError, match="160×160, not 80×160"):
        read_lossless(file, 160, 80)
    for data in (file[:40], b"", b"RIFF", bytes(100)):
        with pytest.raises(BitstreamError, match="damaged"):
            read_lossless(data, SIZE, SIZE)


def test_an_image_too_long_for_webp_has_no_lossless_file() -> None:
    assert lossless_file(np.zeros((1, 16_384, 3), np.uint8)) is None
