"""Blocks coded by a linear transform."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.linear import FINENESS, LinearCoder, first_finer, grid_shape
from clc.codec.linear.exact_transform import exactly_restored
from clc.codec.linear.transform import restored
from clc.errors import BitstreamError
from clc.images.patterns import PATTERNS, draw_pattern
from clc.model.priors.tables import gaussian_tables
from tests.conftest import picture


@pytest.fixture(scope="module")
def coder() -> LinearCoder:
    return LinearCoder(gaussian_tables())


def squared(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(np.square(first.astype(float) - second).mean())


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 31), (100, 70)])
@pytest.mark.parametrize("beside", [True, False])
def test_the_decoder_gives_the_encoders_picture(coder: LinearCoder, size: tuple[int, int], beside: bool) -> None:
    image = picture(4)[: size[0], : size[1]]
    prediction = picture(5)[: size[0], : size[1]] if beside else None
    generator = np.random.default_rng(1)
    fineness = generator.integers(-1 if beside else 0, FINENESS, grid_shape(*size))
    data, coded = coder.encode(image, prediction, fineness, 40.0)
    assert coded.shape == image.shape
    assert np.array_equal(coder.decode(data, prediction, size, 40.0), coded)


def test_blocks_that_are_not_chosen_keep_the_prediction(coder: LinearCoder) -> None:
    image, prediction = picture(4)[:64, :64], picture(5)[:64, :64]
    fineness = np.full((4, 4), -1)
    fineness[1, 2] = 0
    _, coded = coder.encode(image, prediction, fineness, 60.0)
    changed = (coded != prediction).any(axis=2)
    assert changed[16:32, 32:48].any()
    changed[16:32, 32:48] = False
    assert not changed.any()


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_gets_worse_as_the_quality_rises(coder: LinearCoder, name: str) -> None:
    image = draw_pattern(name, np.random.default_rng(2), 64)
    everywhere = np.zeros((4, 4), dtype=int)
    errors = [squared(image, coder.encode(image, None, everywhere, float(q))[1]) for q in range(1, 101, 9)]
    # Coefficients only get better; bounding pixels to 0..255 and rounding them moves what nobody sees.
    assert all(later <= max(earlier, 1.0) * 1.005 for earlier, later in pairwise(errors)), errors


def test_a_finer_grid_halves_the_steps(coder: LinearCoder) -> None:
    image = draw_pattern("noise", np.random.default_rng(0), 64)
    chosen = range(first_finer(50.0) + 1, FINENESS)  # the first is finer for some coefficients only
    errors = [squared(image, coder.encode(image, None, np.full((4, 4), f), 50.0)[1]) for f in (0, *chosen)]
    assert len(errors) > 4
    assert all(later < 0.6 * earlier for earlier, later in pairwise(errors)), errors
    assert errors[-1] < 1.0


@pytest.mark.parametrize("fineness", range(1, FINENESS))
def test_a_block_of_a_chosen_grid_does_not_get_worse_as_the_quality_rises(coder: LinearCoder, fineness: int) -> None:
    image = draw_pattern("noise", np.random.default_rng(1), 64)
    every = np.full((4, 4), fineness)
    errors = [squared(image, coder.encode(image, None, every, float(q))[1]) for q in range(1, 101, 9)]
    assert all(later <= max(earlier, 1.0) * 1.005 for earlier, later in pairwise(errors)), errors


@pytest.mark.parametrize("prediction", [None, picture(5)[:40, :50]], ids=["alone", "beside"])
def test_words_that_no_encoder_wrote_are_refused_or_decode_to_some_picture(
    coder: LinearCoder, prediction: NDArray[np.uint8] | None
) -> None:
    image = picture(4)[:40, :50]
    sound, _ = coder.encode(image, prediction, np.zeros((3, 4), dtype=int), 50.0)
    generator = np.random.default_rng(3)
    refused = 0
    for data in (sound[:-4], sound + bytes([7, 0, 0, 0]), b"abc", *(generator.bytes(size) for size in (4, 8, 400))):
        try:
            assert coder.decode(data, prediction, (40, 50), 50.0).shape == image.shape
        except BitstreamError:
            refused += 1
    assert refused


def test_few_bytes_that_declare_many_blocks_are_refused_before_anything_is_allocated(coder: LinearCoder) -> None:
    with pytest.raises(BitstreamError, match="too short for 262144 blocks"):
        coder.decode(bytes(64), None, (8192, 8192), 50.0)


@pytest.mark.medium
def test_a_large_flat_image_is_not_too_short(coder: LinearCoder) -> None:
    flat = np.full((2048, 2048, 3), 128, np.uint8)
    data, coded = coder.encode(flat, None, np.zeros((128, 128), dtype=int), 50.0)
    assert len(data) < 1000  # most of it for the first row, from which the tables learn
    assert np.array_equal(coder.decode(data, None, (2048, 2048), 50.0), coded)


def test_exact_pixels_are_those_of_the_ordinary_transform() -> None:
    """Up to a hundredth of a level, and of numbers that 64 bits hold."""
    coefficients = np.random.default_rng(3).integers(-900, 900, (50, 4, 3, 64)).astype(float) * 2
    exact = exactly_restored(coefficients)
    assert np.abs(exact - restored(coefficients)).max() < 0.5
    assert np.abs(exactly_restored(coefficients / 64) - restored(coefficients / 64)).max() < 0.01
    assert np.array_equal(exact * 2.0**24, np.rint(exact * 2.0**24))


def test_exact_pixels_do_not_depend_on_how_sums_are_made() -> None:
    coefficients = np.random.default_rng(4).integers(-(2**15), 2**15, (20, 4, 3, 64)).astype(float)
    one_by_one = np.concatenate([exactly_restored(np.asfortranarray(each[None])) for each in coefficients])
    assert np.array_equal(exactly_restored(coefficients), one_by_one)
