"""The quality moves gains, levels and λ together."""

import math

import pytest
import torch

from clc.model.conditioning.int8 import dequantise, quantise
from clc.model.gain import INVERSE_GAIN_STEP, GainUnit, lagrangian
from clc.model.priors.tables import LOG_SCALE_STEP


def test_lambda_is_geometric_in_the_quality() -> None:
    assert lagrangian(50.5) == pytest.approx(math.sqrt(lagrangian(1) * lagrangian(100)))


@pytest.mark.parametrize("quality", [0.99, 100.01, math.nan])
def test_qualities_out_of_range_are_refused(quality: float) -> None:
    with pytest.raises(ValueError, match="between 1 and 100"):
        lagrangian(quality)


@pytest.mark.parametrize("quality", [1.0, 1.01, 15.14, 15.15, 33.33, 50.5, 99.99, 100.0])
def test_exact_levels_are_the_levels_to_a_sixteenth(quality: float) -> None:
    torch.manual_seed(0)
    gain = GainUnit(32)
    torch.nn.init.normal_(gain.log_gain)
    gain.freeze()
    levels, exact = gain.rate(quality).levels, gain.exact_rate(quality).levels
    assert torch.equal(16 * exact, torch.round(16 * exact))
    assert (levels - exact).abs().max() <= 1 / 32 + 1e-3


def test_the_first_gains_follow_the_optimal_step() -> None:
    gain = GainUnit(1)
    ratio = (gain.gain(100.0) / gain.gain(1.0)).item()
    assert ratio == pytest.approx(math.sqrt(lagrangian(100) / lagrangian(1)), rel=1e-5)
    step = 1 / gain.gain(50.5).item()
    assert lagrangian(50.5) == pytest.approx(6 / (math.log(2) * (255 * step) ** 2), rel=1e-5)
    levels = gain.rate(100.0).levels - gain.rate(50.5).levels
    assert levels.item() == pytest.approx(math.log(ratio) / 2 / LOG_SCALE_STEP, rel=1e-5)


def test_references_need_no_more_than_half_a_step() -> None:
    gain = GainUnit(5)
    gain.log_gain.data += torch.randn_like(gain.log_gain)
    steps = 1.0 / torch.exp(gain.log_gain.detach().amax(dim=0))
    grid = torch.exp2(-gain.finest_exponents.float())
    assert torch.all(grid <= steps / 2)
    assert torch.all(2 * grid > steps / 2)
    latents = torch.rand(2, 5, 16, 16) * 0.01
    values, exponents = quantise(latents, finest=gain.finest_exponents)
    assert torch.equal(exponents, gain.finest_exponents)
    assert (dequantise(values, exponents) - latents).abs().max() <= grid.max() / 2
    coarse = quantise(latents * 1e6, finest=gain.finest_exponents)[1]
    assert torch.all(coarse < gain.finest_exponents)


@pytest.mark.parametrize("quality", [1.0, 15.15, 50.5, 99.99, 100.0])
def test_exact_inverse_gains_are_the_inverse_gains_on_a_grid(quality: float) -> None:
    torch.manual_seed(0)
    gain = GainUnit(32)
    torch.nn.init.normal_(gain.log_inverse_gain)
    inverse, exact = gain.inverse_gain(quality), gain.exact_inverse_gain(quality)
    assert exact.shape == inverse.shape
    assert torch.equal(exact / INVERSE_GAIN_STEP, torch.round(exact / INVERSE_GAIN_STEP))
    assert (exact / inverse - 1).abs().max() < 2e-5
