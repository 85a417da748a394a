"""Conditional Latent Synthesis (CLS, paper §3.3 (2), eq. 5 and 6): fuse a latent with its aligned reference."""

import torch
from torch import Tensor, nn

from clc.model.transforms.initialisation import starting_at


class ConditionalLatentSynthesis(nn.Module):
    """Latent y and aligned reference y_a, each [T, C, s, s] → y_f: sampled while training, the mean otherwise."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fusion_weight = _small_network(channels, start=0.0)  # α = sigmoid(0) = 0.5
        self.log_deviation = _small_network(channels, start=-4.0)

    def forward(self, latent: Tensor, aligned: Tensor) -> Tensor:
        both = torch.cat([latent, aligned], dim=1)
        alpha = torch.sigmoid(self.fusion_weight(both))
        mean = alpha * latent + (1 - alpha) * aligned
        if not self.training:
            return mean
        deviation = torch.exp(self.log_deviation(both).clamp(max=2.0))
        return mean + deviation * torch.randn_like(mean)


class MeanFusion(nn.Module):
    """What takes the place of CLS in its ablation: the mean of latent and aligned reference, α = 0.5."""

    def forward(self, latent: Tensor, aligned: Tensor) -> Tensor:
        return 0.5 * (latent + aligned)


def _small_network(channels: int, start: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2 * channels, channels // 2, 1),
        nn.LeakyReLU(),
        nn.Conv2d(channels // 2, channels // 2, 3, padding=1),
        nn.LeakyReLU(),
        starting_at(start, nn.Conv2d(channels // 2, channels, 1)),
    )
