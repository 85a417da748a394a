"""The prior of the syntax: mean and scale of each number, from the hyper features, the same on every machine.

A decoder needs them before it has decoded the numbers, so they are computed as the prior path is: the mean of each
hyper feature over all positions, which is exact up to one rounding, and exact convolutions of one position.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.exact.convolution import FINEST_INPUT_EXPONENT, LARGEST_INPUT, ExactConv2d, snap
from clc.model.priors.likelihood import saturated
from clc.model.priors.prior import MEAN_EXPONENT
from clc.model.priors.slices import LEVEL_GAIN
from clc.model.priors.tables import LOG_SCALE_STEP, SCALE_LEVELS, SCALE_MIN
from clc.model.syntax.config import SyntaxConfig
from clc.model.syntax.generator import START_SPREAD

_LEVEL_EXPONENT = 5
_LARGEST_MEAN_FEATURE = int(LARGEST_INPUT * 2**FINEST_INPUT_EXPONENT)


class SyntaxPrior(nn.Module):
    """Hyper features → Gaussians of the numbers."""

    def __init__(self, config: SyntaxConfig, feature_channels: int) -> None:
        super().__init__()
        self.hidden = ExactConv2d(feature_channels, config.width, 1)
        self.mean = ExactConv2d(config.width, config.numbers, 1, output_exponent=MEAN_EXPONENT)
        self.level = ExactConv2d(config.width, config.numbers, 1, output_exponent=_LEVEL_EXPONENT)
        assert self.level.bias is not None
        nn.init.constant_(self.level.bias, math.log(START_SPREAD / SCALE_MIN) / LOG_SCALE_STEP / LEVEL_GAIN)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Hyper features [B, F, h, w] → means, in quantisation steps, and scale levels, [B, n] each.

        Once frozen, means are multiples of 2^-MEAN_EXPONENT, levels whole numbers.
        """
        exact = self.hidden.frozen
        hidden = F.relu(self.hidden(_pooled(features, exact)))
        mean, level = self.mean(hidden), saturated(self.level(hidden) * LEVEL_GAIN, SCALE_LEVELS - 1.0)
        if exact:
            level = torch.floor(level + 0.5)
        return mean.flatten(1), level.flatten(1)


def _pooled(features: Tensor, exact: bool) -> Tensor:
    """[B, F, h, w] → [B, F, 1, 1]. Features are dyadic numbers of 16 bits: their sum is exact in any order."""
    if not exact:
        return features.mean(dim=(2, 3), keepdim=True)
    positions = features.shape[2] * features.shape[3]
    mean = features.sum(dim=(2, 3), keepdim=True) / positions
    return snap(mean, FINEST_INPUT_EXPONENT, largest=_LARGEST_MEAN_FEATURE)
