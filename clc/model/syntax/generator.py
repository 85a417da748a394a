"""The syntax generator: part of a latent, pooled at several scales → a few numbers a photo. Only an encoder runs it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.gain import Rate
from clc.model.syntax.config import SyntaxConfig

_SCALES = 3  # 1/16, 1/32 and 1/64: the smallest photo has one position at the last
START_SPREAD = 4.0
"""About how many quantisation steps the numbers of photos differ by when training starts."""


class SyntaxGenerator(nn.Module):
    """Convolutions at three scales, the mean over all positions of each, and two layers that mix them."""

    def __init__(self, config: SyntaxConfig) -> None:
        super().__init__()
        width = config.width
        self.scales = nn.ModuleList(
            nn.Conv2d(
                config.part if scale == 0 else width,
                width,
                3,
                stride=1 if scale == 0 else 2,
                padding=1,
                padding_mode="replicate",
            )
            for scale in range(_SCALES)
        )
        self.mixed = nn.Linear(_SCALES * width + 1, width)
        self.last = nn.Linear(width, config.numbers)

    def forward(self, part: Tensor, rate: Rate) -> Tensor:
        """[B, part, h, w], normalised → numbers [B, n] in quantisation steps, not rounded."""
        position = rate.position.reshape(-1, 1) if isinstance(rate.position, Tensor) else rate.position
        pooled = [torch.zeros_like(part[:, :1, 0, 0]) + position]
        x = part
        for scale in self.scales:
            x = F.leaky_relu(scale(x))
            pooled.append(x.mean(dim=(2, 3)))
        numbers: Tensor = self.last(F.leaky_relu(self.mixed(torch.cat(pooled, dim=1))))
        return START_SPREAD * numbers
