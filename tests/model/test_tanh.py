"""The table of tanh."""

import hashlib

import torch

from clc.model.exact.tanh import INPUT_EXPONENT, LARGEST_INPUT, OUTPUT_EXPONENT, half_tanh

STEPS = torch.arange(-LARGEST_INPUT * 2**INPUT_EXPONENT, LARGEST_INPUT * 2**INPUT_EXPONENT + 1).double()
INPUTS = STEPS * 2.0**-INPUT_EXPONENT


def test_it_is_half_of_tanh_rounded_to_its_grid() -> None:
    values = half_tanh(INPUTS)
    assert (values - 0.5 * torch.tanh(INPUTS)).abs().max() <= 2.0 ** -(OUTPUT_EXPONENT + 1) + 1e-12
    assert torch.equal(values * 2**OUTPUT_EXPONENT, torch.round(values * 2**OUTPUT_EXPONENT))
    assert torch.equal(values, -values.flip(0))
    assert values[-1] == 0.5


def test_it_never_changes() -> None:
    values = (half_tanh(INPUTS) * 2**OUTPUT_EXPONENT).to(torch.int32).numpy().astype("<i4")
    assert hashlib.sha256(values.tobytes()).hexdigest() == (
        "92ad26ef8dbdba7aa958c9a8af53bd5db76fb692b17f5b2714b2ef961ee665ab"
    )
