"""The hyperprior's transforms: h_a of the encoder, h_s of both ends (paper §3.3 (3), eq. 7)."""

from torch import nn

from clc.model.exact.convolution import ExactConv2d
from clc.model.priors.config import PriorConfig


class HyperAnalysis(nn.Sequential):
    """h_a: what the encoder knows [B, c, h, w] → z [B, N, h/4, w/4]. Runs there only, so it need not be exact."""

    def __init__(self, config: PriorConfig, in_channels: int) -> None:
        width = config.hyper_width
        super().__init__(
            nn.Conv2d(in_channels, width, 3, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(),
            nn.Conv2d(width, width, 5, stride=2, padding=2, padding_mode="replicate"),
            nn.LeakyReLU(),
            nn.Conv2d(width, config.hyper_channels, 5, stride=2, padding=2, padding_mode="replicate"),
        )


class HyperSynthesis(nn.Sequential):
    """h_s: integer ẑ [B, N, h/4, w/4] → hyper features [B, hyper_width, h, w]. Exact once frozen."""

    def __init__(self, config: PriorConfig) -> None:
        width = config.hyper_width
        super().__init__(
            ExactConv2d(config.hyper_channels, 4 * width, 3),
            nn.PixelShuffle(2),
            nn.ReLU(),
            ExactConv2d(width, 4 * width, 3),
            nn.PixelShuffle(2),
            nn.ReLU(),
        )
