"""Fewer products, the same number."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from clc.model.exact import winograd
from clc.model.exact.convolution import ExactConv2d, check_exact_sums, transformed_if_exact


def dyadic(shape: tuple[int, ...], bits: int, exponent: int, seed: int) -> Tensor:
    """Whole numbers of so many bits times 2^-exponent."""
    numbers = torch.randint(-(2**bits) + 1, 2**bits, shape, generator=torch.Generator().manual_seed(seed))
    return numbers.double() * 2.0**-exponent


@pytest.mark.medium
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 5),
    outputs=st.integers(1, 4),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    seed=st.integers(0, 2**31),
)
def test_the_result_is_that_of_the_sum(
    batch: int, channels: int, outputs: int, height: int, width: int, seed: int
) -> None:
    x = dyadic((batch, channels, height + 2, width + 2), 15, 12, seed)
    weight = dyadic((outputs, channels, 3, 3), 15, 18, seed + 1)
    bias = dyadic((outputs,), 20, 20, seed + 2)
    result = winograd.convolved(x, winograd.transformed(weight), bias)
    assert torch.equal(result, F.conv2d(x, weight, bias))


def test_large_inputs_are_convolved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = dyadic((2, 3, 23, 19), 15, 12, 0), dyadic((4, 3, 3, 3), 15, 18, 1), dyadic((4,), 20, 20, 2)
    weights = winograd.transformed(weight)
    whole = winograd.convolved(x, weights, bias)
    monkeypatch.setattr(winograd, "_TILE_BYTES", 16 * 8 * 3 * 2 * 9 * 3)  # three rows of tiles
    assert torch.equal(winograd.convolved(x, weights, bias), whole)


def test_sums_stay_within_their_bound() -> None:
    weight = dyadic((6, 4, 3, 3), 15, 15, 0)
    bound = winograd.largest_sums(winograd.transformed(weight), 2.0)
    x = 2.0 * torch.sign(dyadic((64, 4, 6, 6), 15, 12, 1))
    largest = F.conv2d(x, weight).abs().amax(dim=(0, 2, 3))
    assert (largest <= bound).all()


def test_layers_whose_sums_would_not_fit_are_summed_directly() -> None:
    weight, bias = torch.full((1, 8, 3, 3), 1.0 - 2.0**-15, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert transformed_if_exact(weight, bias, 2.0**12, 12) is not None
    wide = 2.0**18
    check_exact_sums(weight, bias, wide, 12)
    assert transformed_if_exact(weight, bias, wide, 12) is None


def test_a_frozen_layer_takes_fewer_inputs_as_if_the_others_were_zero() -> None:
    torch.manual_seed(0)
    layer = ExactConv2d(6, 5, 3, output_exponent=10)
    layer.freeze()
    assert layer.transformed is not None
    x = dyadic((1, 4, 9, 7), 14, 12, 3)
    filled = torch.cat([x, torch.zeros(1, 2, 9, 7, dtype=torch.float64)], dim=1)
    assert torch.equal(layer(x), layer(filled))
    with_sums = ExactConv2d(6, 5, 3, output_exponent=10)
    with_sums.load_state_dict(layer.state_dict())
    with_sums.restore()
    with_sums.transformed = None
    assert torch.equal(layer(x), with_sums(x))
