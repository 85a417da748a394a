"""Analysis and synthesis transforms g_a and g_s (paper §3.1) as a light residual convolutional network.

The image is folded into 4×4 blocks first, so that no convolution runs at full resolution: that is what makes the
`tiny` preset trainable and usable on a CPU. `clc.model.transforms.tcm` has the transforms that the paper uses.
"""

import copy
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.priors.config import PriorConfig
from clc.model.priors.hyper import HyperAnalysis
from clc.model.transforms.initialisation import BlockTransform, starting_at
from clc.model.transforms.processor import multiplies_bfloat16

Evaluated = TypeVar("Evaluated", bound=nn.Module)

AtScale: TypeAlias = Callable[[int, Tensor], Tensor]
"""What becomes of features [B, w, h, w'] at the end of a scale; 0 is 1/4."""

SCALES = (4, 8, 16)
"""Pixels for each position of features, scale by scale."""

_FOLD = 4  # pixels folded into channels before the first convolution


class ConvolutionalConfig(BaseModel):
    """Widths and depths at 1/4, 1/8 and 1/16 of the image's resolution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["convolutional"] = "convolutional"
    widths: tuple[int, int, int] = Field(description="channels at 1/4, 1/8 and 1/16")
    hidden: tuple[int, int, int] = Field(description="channels inside the residual blocks at 1/4, 1/8 and 1/16")
    synthesis_hidden: tuple[int, int, int] | None = Field(default=None, description="those of g_s, instead of `hidden`")
    blocks: tuple[int, int, int] = Field(description="residual blocks at 1/4, 1/8 and 1/16")
    latent_channels: int = Field(ge=8, description="channels C of the latent y")

    def start(self) -> BlockTransform:
        """The linear transform that training starts from."""
        return BlockTransform(_FOLD, self.widths)

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


class ConvolutionalAnalysis(nn.Module):
    """g_a: image [B, 3, H, W] in [0, 1] → latent y [B, C, H/16, W/16]; H and W are multiples of 16."""

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.widths
        stem = nn.Conv2d(3 * _FOLD**2, w4, 3, padding=1)
        halvings = [nn.Conv2d(w4, w8, 3, stride=2, padding=1), nn.Conv2d(w8, w16, 3, stride=2, padding=1)]
        last = nn.Conv2d(w16, config.latent_channels, 1)
        config.start().start_analysis(stem, halvings, last)
        scales = _residual_blocks(config, config.hidden)
        parts = [[nn.PixelUnshuffle(_FOLD), stem, *scales[0]], [halvings[0], *scales[1]], [halvings[1], *scales[2]]]
        self.layers = nn.Sequential(*(layer for part in parts for layer in part), last)
        self._ends = _last_layers(parts)

    def forward(self, x: Tensor, at_scale: AtScale | None = None) -> Tensor:
        """at_scale: changes what there is at the end of each scale, 0 (1/4) to 2 (1/16)."""
        return _through(self.layers, x - 0.5, self._ends, at_scale)

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """y, and what there is at the end of each scale on the way to it, 1/4 first."""
        kept: list[Tensor] = []

        def keep(_: int, x: Tensor) -> Tensor:
            kept.append(x)
            return x

        return self(x, keep), kept

    def features(self, x: Tensor) -> list[Tensor]:
        """What there is at the end of each scale, 1/4 first."""
        return self.with_features(x)[1]


class ConvolutionalSynthesis(nn.Module):
    """g_s: latent [B, C, H/16, W/16] → image [B, 3, H, W], not clamped."""

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.widths
        first = nn.Conv2d(config.latent_channels, w16, 1)
        doublings = [nn.Conv2d(w16, 4 * w8, 1), nn.Conv2d(w8, 4 * w4, 1)]  # each before a sub-pixel shuffle
        stem = nn.Conv2d(w4, 3 * _FOLD**2, 3, padding=1)
        config.start().start_synthesis(doublings, stem, first)
        at4, at8, at16 = _residual_blocks(config, config.synthesis_hidden or config.hidden)
        shuffles = [nn.PixelShuffle(2), nn.PixelShuffle(2)]
        parts = [[first, *at16], [doublings[0], shuffles[0], *at8], [doublings[1], shuffles[1], *at4]]
        self.layers = nn.Sequential(*(layer for part in parts for layer in part), stem, nn.PixelShuffle(_FOLD))
        self._ends = {layer: 2 - scale for layer, scale in _last_layers(parts).items()}

    def forward(self, y: Tensor, at_scale: AtScale | None = None) -> Tensor:
        """at_scale: as for g_a; 2 (1/16) comes first."""
        return _through(self.layers, y, self._ends, at_scale) + 0.5


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


def _last_layers(parts: list[list[nn.Module]]) -> dict[int, int]:
    """The number of the last layer of each part → the number of the part."""
    return {sum(map(len, parts[: part + 1])) - 1: part for part in range(len(parts))}


def _through(layers: nn.Sequential, x: Tensor, ends: dict[int, int], at_scale: AtScale | None) -> Tensor:
    if at_scale is None:
        result: Tensor = layers(x)
        return result
    for number, layer in enumerate(layers):
        x = layer(x)
        if number in ends:
            x = at_scale(ends[number], x)
    return x


def _residual_blocks(config: ConvolutionalConfig, hidden: tuple[int, int, int]) -> list[list[nn.Module]]:
    """The residual blocks of each of the three resolutions."""
    sizes = zip(config.widths, hidden, config.blocks, strict=True)
    return [[ResidualBlock(width, inside) for _ in range(number)] for width, inside, number in sizes]
