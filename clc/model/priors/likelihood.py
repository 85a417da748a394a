"""Estimated rates, for training: the factorised prior of ẑ, Gaussians for ŷ, and gradients where rounding has none.

After Ballé et al., "Variational image compression with a scale hyperprior" (ICLR 2018). Coding uses frozen tables.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.priors.tables import LOG_SCALE_STEP, OUTLIER_DEVIATION, OUTLIERS, SCALE_MIN

_LAYERS = (1, 3, 3, 3, 3, 1)  # widths of the network that is the cumulative distribution of a channel
_START_SCALE = 2.0  # z is small at first; the usual 10 costs bits that training takes long to win back
_LEAST_LIKELIHOOD = 1e-9


class FactorizedPrior(nn.Module):
    """A distribution for each channel of z, learned as a cumulative distribution (Ballé 2018, appendix 6.1).

    Its median is 0, so that ẑ is z rounded to whole numbers, which enter h_s exactly.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        scale = _START_SCALE ** (1 / (len(_LAYERS) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in itertools.pairwise(_LAYERS):
            start = math.log(math.expm1(1 / scale / outputs))
            self.matrices.append(nn.Parameter(torch.full((channels, outputs, inputs), start)))
            self.biases.append(nn.Parameter(torch.empty(channels, outputs, 1).uniform_(-0.5, 0.5)))
            if outputs > 1:
                self.factors.append(nn.Parameter(torch.zeros(channels, outputs, 1)))

    def forward(self, z: Tensor) -> Tensor:
        """Likelihoods of z [B, N, h, w]: with noise in training, rounded otherwise."""
        return self.of(with_rounding_error(z, None, self.training))

    def of(self, values: Tensor) -> Tensor:
        """Likelihoods of values [B, N, h, w] as they are."""
        ordered = values.transpose(0, 1)
        return self.likelihood(ordered.reshape(len(ordered), 1, -1)).reshape(ordered.shape).transpose(0, 1)

    def likelihood(self, values: Tensor) -> Tensor:
        """Probabilities [N, 1, n] of the unit intervals around values [N, 1, n] of each channel."""
        below, above = self._logits(values - 0.5), self._logits(values + 0.5)
        return lower_bound(torch.sigmoid(above) - torch.sigmoid(below), _LEAST_LIKELIHOOD)

    def _logits(self, x: Tensor) -> Tensor:
        for index, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = F.softplus(matrix) @ x + bias
            if index < len(self.factors):
                x = x + torch.tanh(self.factors[index]) * torch.tanh(x)
        return x


def gaussian_likelihood(values: Tensor, mean: Tensor | float, scale: Tensor) -> Tensor:
    """Probabilities of the unit intervals around `values` under Gaussians, all of one shape."""
    distance = (values - mean).abs()
    factor = -(2**-0.5) / scale
    above, below = torch.erfc((0.5 - distance) * factor), torch.erfc((-0.5 - distance) * factor)
    return lower_bound(0.5 * (above - below), _LEAST_LIKELIHOOD)


def coded_bits(distance: Tensor, scale: Tensor) -> Tensor:
    """Bits of symbols at a distance from their mean, about as the frozen tables have them: with their outliers."""
    usual, outliers = (gaussian_likelihood(distance, 0.0, scale * wider) for wider in (1.0, OUTLIER_DEVIATION))
    return -torch.log2((1.0 - OUTLIERS) * usual + OUTLIERS * outliers)


def with_rounding_error(values: Tensor, mean: Tensor | None, noisy: bool) -> Tensor:
    """With uniform noise in place of the error that rounding their distance to the mean makes, or rounded."""
    if noisy:
        return values + torch.rand_like(values) - 0.5
    return torch.floor(values + 0.5) if mean is None else torch.floor(values - mean + 0.5) + mean


def scale_of(level: Tensor) -> Tensor:
    """Standard deviation σ, in quantisation steps, of a scale level."""
    return SCALE_MIN * torch.exp(level * LOG_SCALE_STEP)


def round_half_up(x: Tensor) -> Tensor:
    """Rounding to whole numbers with the gradient of the identity (straight-through)."""
    rounded = torch.floor(x + 0.5)
    return x + (rounded - x).detach() if x.requires_grad else rounded


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """max(x, bound); where it bites, only gradients that lead back above pass."""
    if not x.requires_grad:
        return x.clamp(min=bound)
    bounded: Tensor = _LowerBound.apply(x, bound)
    return bounded


def saturated(x: Tensor, upper: float) -> Tensor:
    """Clamped to 0..upper. Outside, only gradients that lead back in pass.

    With a plain clamp, what left the range once would never return; if all gradients passed, it would leave further and
    further, and be far from where it is needed at another rate.
    """
    return x.clamp(0.0, upper) if not x.requires_grad else upper - lower_bound(upper - lower_bound(x, 0.0), 0.0)


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound  # type: ignore[attr-defined]
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        passes = (x >= ctx.bound) | (gradient < 0)  # type: ignore[attr-defined]
        return torch.where(passes, gradient, torch.zeros_like(gradient)), None
