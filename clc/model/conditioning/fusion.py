"""Fusion: aligned references act on g_a and g_s, at three scales (CLM and CLS of paper §3.3, position by position).

At 1/4, 1/8 and 1/16, features of the references' pictures, as g_a has them there, meet what it has of the photo, or
what g_s has of the latent. Attention over the M references, which may choose none, is the matching (eq. 4): they are
aligned, so each position looks at its own place only. A branch that starts at zero is the synthesis (eq. 5, 6).
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.transforms.convolutional import AtScale
from clc.model.transforms.initialisation import starting_at

Features: TypeAlias = tuple[Tensor, ...]
"""Of M references of B photos, at 1/4, 1/8 and 1/16: [B, M, w, h, w'] each."""


_START_NONE = -2.0  # seldom, when training starts
_NOISE = 0.25  # share of the ordinary random weights that remains


class FusionConfig(BaseModel):
    """Widths inside a fusion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: tuple[int, int, int] = Field(default=(48, 96, 128), description="channels of the branch at 1/4, 1/8, 1/16")
    dimension: int = Field(default=32, ge=1, description="channels of queries and keys")


class Fusion(nn.Module):
    """x and what references show at the same place → x, at one scale; the identity at the start of training."""

    def __init__(self, width: int, hidden: int, dimension: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(width, dimension, 1), nn.Conv2d(width, dimension, 1)
        self.key.load_state_dict(self.query.state_dict())  # what is alike scores high
        self.none = nn.Parameter(torch.full((1,), _START_NONE))  # the score of choosing no reference
        self.conv1 = starting_at_differences(nn.Conv2d(2 * width, hidden, 3, padding=1))
        self.conv2 = starting_at(0.0, nn.Conv2d(hidden, width, 3, padding=1))

    def forward(self, x: Tensor, references: Tensor) -> Tensor:
        """x: [B, w, h, w']; references: [B, M, w, h, w']."""
        dtype = self.conv1.weight.dtype
        own, seen = x.to(dtype), references.to(dtype)
        number = seen.shape[1]
        keys = self.key(seen.flatten(0, 1)).unflatten(0, (-1, number))
        scores = (self.query(own)[:, None] * keys).float().sum(dim=2) * self.query.out_channels**-0.5
        scores = torch.cat([scores, self.none.float().expand_as(scores[:, :1])], dim=1)
        weights = scores.softmax(dim=1)[:, :number, None].to(dtype)
        matched = (weights * seen).sum(dim=1)
        branch = self.conv2(F.leaky_relu(self.conv1(torch.cat([own, matched], dim=1))))
        return x + branch.to(x.dtype)


@torch.no_grad()
def starting_at_differences(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, over what x is and what matches it, with its outputs near how far the two lie apart in the first
    channels, each with both signs, since what follows keeps positive ones. Random weights would have to find that.
    """
    width, pairs = layer.in_channels // 2, min(layer.out_channels, layer.in_channels) // 2
    layer.weight.mul_(_NOISE)
    if layer.bias is not None:
        layer.bias.zero_()
    middle = layer.weight[:, :, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2]
    channels = torch.arange(pairs)
    for first, sign in ((0, 1.0), (1, -1.0)):
        outputs = 2 * channels + first
        middle[outputs, width + channels] += sign
        middle[outputs, channels] -= sign
    return layer


class Fusions(nn.ModuleList):
    """One for each scale. widths: of the transform's features."""

    def __init__(self, config: FusionConfig, widths: Sequence[int]) -> None:
        sizes = zip(widths, config.hidden, strict=True)
        super().__init__(Fusion(width, hidden, config.dimension) for width, hidden in sizes)

    def with_references(self, features: Features) -> AtScale:
        """What a transform does at the end of each scale."""
        return lambda scale, x: self[scale](x, features[scale])
