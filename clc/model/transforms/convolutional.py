"""Analysis and synthesis transforms g_a and g_s (paper §3.1) as a light residual convolutional network.

`clc.model.transforms.tcm` has the transforms that the paper uses.
"""

import copy
from typing import Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.priors.config import PriorConfig
from clc.model.priors.hyper import HyperAnalysis
from clc.model.transforms.folded import FoldedAnalysis, FoldedSynthesis, Widths, linear_start
from clc.model.transforms.initialisation import BlockTransform, starting_at
from clc.model.transforms.processor import multiplies_bfloat16

Evaluated = TypeVar("Evaluated", bound=nn.Module)


class ConvolutionalConfig(BaseModel):
    """Widths and depths at 1/4, 1/8 and 1/16 of the image's resolution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["convolutional"] = "convolutional"
    widths: Widths = Field(description="channels at 1/4, 1/8 and 1/16")
    hidden: Widths = Field(description="channels inside the residual blocks at 1/4, 1/8 and 1/16")
    synthesis_hidden: Widths | None = Field(default=None, description="those of g_s, instead of `hidden`")
    blocks: Widths = Field(description="residual blocks at 1/4, 1/8 and 1/16")
    latent_channels: int = Field(ge=8, description="channels C of the latent y")

    def start(self) -> BlockTransform:
        """The linear transform that training starts from."""
        return linear_start(self.widths)

    def analysis(self) -> nn.Module:
        """A new g_a."""
        return ConvolutionalAnalysis(self)

    def synthesis(self) -> nn.Module:
        """A new g_s."""
        return ConvolutionalSynthesis(self)

    def hyper_analysis(self, prior: PriorConfig, in_channels: int) -> nn.Module:
        """A new h_a."""
        return HyperAnalysis(prior, in_channels)


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), an identity at the start of training."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 3, padding=1)
        # Without normalisation, deep stacks diverge unless they start as identities.
        self.conv2 = starting_at(0.0, nn.Conv2d(hidden, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        branch = F.leaky_relu(x).to(self.conv1.weight.dtype)
        return x + self.conv2(F.leaky_relu(self.conv1(branch), inplace=True)).to(x.dtype)


class LatentResidual(nn.Sequential):
    """Latent residual prediction, r of §3.3 (3): what is decoded and what is known of it → r [B, C, h, w], at most half
    a quantisation step.
    """

    def __init__(self, in_channels: int, width: int, channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, width, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        predicted: Tensor = super().forward(x.to(next(self.parameters()).dtype))
        return 0.5 * torch.tanh(predicted.to(x.dtype))


class ConvolutionalAnalysis(FoldedAnalysis):
    """g_a with residual blocks."""

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__(config.widths, config.latent_channels, lambda: _residual_blocks(config, config.hidden))


class ConvolutionalSynthesis(FoldedSynthesis):
    """g_s with residual blocks."""

    def __init__(self, config: ConvolutionalConfig) -> None:
        hidden = config.synthesis_hidden or config.hidden
        super().__init__(config.widths, config.latent_channels, lambda: _residual_blocks(config, hidden))


def for_inference(module: Evaluated) -> Evaluated:
    """What an encoder runs before the first symbol, or a decoder after the last, as this machine evaluates it fastest:
    a copy whose residual branches multiply in bfloat16, where a CPU has instructions for that; otherwise the module
    itself.

    Sums stay in float32, and so does what the branches are added to: pictures differ by 1 of 255 here and there.
    """
    device = next(module.parameters()).device
    if device.type != "cpu" or not multiplies_bfloat16(device):
        return module
    module = copy.deepcopy(module)
    for part in module.modules():
        if isinstance(part, ResidualBlock | LatentResidual):
            part.bfloat16()
    return module


def _residual_blocks(config: ConvolutionalConfig, hidden: Widths) -> list[list[nn.Module]]:
    """The residual blocks of each of the three resolutions."""
    sizes = zip(config.widths, hidden, config.blocks, strict=True)
    return [[ResidualBlock(width, inside) for _ in range(number)] for width, inside, number in sizes]
