"""One model, all rates: per-channel gain units make the Lagrangian weight λ an input.

After Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate Adaptation" (CVPR 2021): the latent is
scaled channel by channel before it is rounded and scaled back after it is decoded. Gains are learned at `LEVELS`
qualities and interpolated geometrically in between.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.model.limits import QUALITY_MAX, QUALITY_MIN, QUALITY_STEPS
from clc.model.priors.tables import LOG_SCALE_STEP

LEVELS = 8
INVERSE_GAIN_STEP = 2.0**-20
"""Of the inverse gains of `GainUnit.exact_inverse_gain`."""
_LAMBDA_MIN, _LAMBDA_MAX = 0.0004, 0.065
# At high rate, uniform quantisation with step Δ (8-bit levels) is optimal for λ = 6 / (ln 2 · Δ²). In the middle of the
# range of λ that is a step of 39 levels; the latent starts as an orthonormal transform of pixels in [0, 1].
_START_GAIN = 255.0 / math.sqrt(6.0 / (math.log(2.0) * math.sqrt(_LAMBDA_MIN * _LAMBDA_MAX)))
_LOG_GAIN_GRID = 2.0**12
_LOG_INVERSE_GAIN_GRID = 2.0**16
_LEVEL_FRACTION = 16.0
_DECIMAL_DIGITS = 28


Quality = TypeVar("Quality", float, Tensor, float | Tensor)
"""1 to 100; in training also a tensor [B], one for each crop. Its range is not checked, which would wait for a GPU."""


def lagrangian(quality: Quality) -> Quality:
    """λ of R + λ·255²·MSE that `quality` (1 to 100) is trained for; geometric in the quality."""
    share: Quality = (_LAMBDA_MAX / _LAMBDA_MIN) ** _position(quality)
    return _LAMBDA_MIN * share


@dataclass(frozen=True)
class Rate:
    """What a quality means for the prior; in training, each crop of a batch may have its own.

    position: where it lies between the smallest (0) and the best (1), in multiples of 2^-12; of a batch [B, 1, 1, 1].
    gain: factors on the latent [1 or B, C, 1, 1]. levels: how many scale levels they move its deviation up, likewise.
    """

    position: float | Tensor
    gain: Tensor
    levels: Tensor


class GainUnit(nn.Module):
    """Per-channel factors before and after quantisation, as functions of the quality."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A step size that is optimal at λ shrinks with its square root.
        octaves = torch.linspace(-0.5, 0.5, LEVELS) * 0.5 * math.log(_LAMBDA_MAX / _LAMBDA_MIN)
        start = (octaves + math.log(_START_GAIN))[:, None].repeat(1, channels)
        self.log_gain = nn.Parameter(start)
        self.log_inverse_gain = nn.Parameter(-start)

    def gain(self, quality: float | Tensor) -> Tensor:
        """Factors [1, C, 1, 1] applied before quantisation; of qualities [B], [B, C, 1, 1]."""
        return _interpolate(self.log_gain, quality)

    def rate(self, quality: float | Tensor) -> Rate:
        """The `Rate` of a quality in floating point, for training; of qualities [B], one a crop."""
        gain = self.gain(quality)
        return Rate(_rounded_position(quality), gain, torch.log(gain) / LOG_SCALE_STEP)

    def exact_rate(self, quality: float) -> Rate:
        """The `Rate` of a quality, the same on every machine: float64, gains in steps of 2^-12, levels of 1/16."""
        device = self.log_gain.device
        gain = _exact_factors(self.log_gain, _LOG_GAIN_GRID, quality, _LOG_GAIN_GRID)
        return Rate(_rounded_position(quality), gain.to(device), self._exact_levels(quality).to(device))

    @property
    def finest_exponents(self) -> Tensor:
        """Exponents e, int32 [C], of the largest steps 2^-e that are no larger than half a quantisation step at any
        quality.
        """
        return torch.ceil(self.log_gain.detach().amax(dim=0) / math.log(2.0)).int() + 1

    @torch.no_grad()
    def freeze(self) -> None:
        """Put the gains on the grid that `exact_rate` computes with."""
        self.log_gain.copy_(torch.round(self.log_gain * _LOG_GAIN_GRID) / _LOG_GAIN_GRID)

    def _exact_levels(self, quality: float) -> Tensor:
        """The interpolation is a sum of integer products, exact in float64; the product and the division after it are
        correctly rounded.
        """
        numerator, denominator = _exact_log_factors(self.log_gain, _LOG_GAIN_GRID, quality)
        levels = np.floor(_LEVEL_FRACTION * numerator / (denominator * LOG_SCALE_STEP) + 0.5) / _LEVEL_FRACTION
        return torch.from_numpy(levels)[None, :, None, None]

    def inverse_gain(self, quality: float | Tensor) -> Tensor:
        """Factors [1, C, 1, 1] applied to the decoded latent; of qualities [B], [B, C, 1, 1]."""
        return _interpolate(self.log_inverse_gain, quality)

    def exact_inverse_gain(self, quality: float) -> Tensor:
        """`inverse_gain`, the same on every machine: float64 on the CPU, in multiples of `INVERSE_GAIN_STEP`."""
        return _exact_factors(self.log_inverse_gain, _LOG_INVERSE_GAIN_GRID, quality, 1 / INVERSE_GAIN_STEP)


def _position(quality: Quality) -> Quality:
    if not isinstance(quality, Tensor) and not QUALITY_MIN <= quality <= QUALITY_MAX:
        raise ValueError(f"quality must lie between {QUALITY_MIN:g} and {QUALITY_MAX:g}, not {quality:g}")
    return (quality - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN)


def _rounded_position(quality: float | Tensor) -> float | Tensor:
    if isinstance(quality, Tensor):
        return (torch.round(_position(quality) * _LOG_GAIN_GRID) / _LOG_GAIN_GRID)[:, None, None, None]
    return round(_position(quality) * _LOG_GAIN_GRID) / _LOG_GAIN_GRID


def _exact_factors(log_factors: Tensor, grid: float, quality: float, steps: float) -> Tensor:
    """exp of the interpolated log factors, float64 [1, C, 1, 1] in multiples of 1 / steps."""
    numerator, denominator = _exact_log_factors(log_factors, grid, quality)
    with localcontext(prec=_DECIMAL_DIGITS):  # Decimal.exp is correctly rounded, the exponential of a libm is not
        factors = [(Decimal(int(each)) / denominator).exp() * int(steps) for each in numerator]
    rounded = [float(factor.to_integral_value(ROUND_HALF_EVEN)) for factor in factors]
    return torch.tensor(rounded, dtype=torch.float64)[None, :, None, None] / steps


def _exact_log_factors(log_factors: Tensor, grid: float, quality: float) -> tuple[NDArray[np.float64], int]:
    """Interpolated between levels rounded to multiples of 1 / grid, as fractions of integers: numerators [C], carried
    in float64, and denominator.
    """
    spans = round((QUALITY_MAX - QUALITY_MIN) * QUALITY_STEPS)
    position = round((quality - QUALITY_MIN) * QUALITY_STEPS) * (LEVELS - 1)
    lower = min(position // spans, LEVELS - 2)
    upper_weight = position - lower * spans
    levels: NDArray[np.float64] = np.round(log_factors.detach().double().cpu().numpy() * grid)
    mixed = levels[lower] * (spans - upper_weight) + levels[lower + 1] * upper_weight
    return mixed, spans * int(grid)


def _interpolate(log_factors: Tensor, quality: float | Tensor) -> Tensor:
    if isinstance(quality, Tensor):  # one a crop, without waiting for the device
        positions = _position(quality) * (LEVELS - 1)
        lowers = positions.floor().clamp(0, LEVELS - 2)
        weights = (positions - lowers)[:, None]
        low, high = (log_factors.index_select(0, lowers.long() + step) for step in (0, 1))
        return torch.exp(low * (1 - weights) + high * weights)[:, :, None, None]
    position = _position(quality) * (LEVELS - 1)
    lower = min(int(position), LEVELS - 2)
    weight = position - lower
    mixed = log_factors[lower] * (1 - weight) + log_factors[lower + 1] * weight
    return torch.exp(mixed)[None, :, None, None]
