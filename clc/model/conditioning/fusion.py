"""Fusion: aligned references act on g_a and g_s, at three scales (CLM and CLS of paper §3.3, position by position).

At 1/4, 1/8 and 1/16, features of the references' pictures, as g_a has them there, meet what it has of the photo, or
what g_s has of the latent. Attention over the M references, which may choose none, is the matching (eq. 4): they are
aligned, so each position looks at its own place only. A branch that starts at zero is the synthesis (eq. 5, 6).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.transforms.folded import AtScale
from clc.model.transforms.initialisation import starting_at

Features: TypeAlias = tuple[Tensor, ...]
"""Of M references of B photos, at 1/4, 1/8 and 1/16: [B, M, w, h, w'] each."""


class Ends(StrEnum):
    """Which transforms are fused with references."""

    BOTH = "both"
    ANALYSIS = "analysis"  # g_a alone
    SYNTHESIS = "synthesis"  # g_s alone


class FusionConfig(BaseModel):
    """Where references are fused, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: tuple[int, int, int] = Field(default=(48, 96, 128), description="channels of the branch at 1/4, 1/8, 1/16")
    dimension: int = Field(default=32, ge=1, description="channels of queries and keys")
    ends: Ends = Field(default=Ends.BOTH, description="both transforms, or one of them")
    attention: bool = Field(default=True, description="attend to references; without it, their mean is taken")


class Fusion(nn.Module):
    """x and what references show at the same place → x, at one scale; the identity at the start of training."""

    def __init__(self, width: int, hidden: int, dimension: int | None) -> None:
        """dimension: of queries and keys; None to take the mean of the references, whatever they show."""
        super().__init__()
        self.attends = dimension is not None
        if dimension is not None:
            self._start_attention(width, dimension)
        self.conv1 = nn.Conv2d(2 * width, hidden, 3, padding=1)
        self.conv2 = starting_at(0.0, nn.Conv2d(hidden, width, 3, padding=1))

    def _start_attention(self, width: int, dimension: int) -> None:
        self.query, self.key = nn.Conv2d(width, dimension, 1), nn.Conv2d(width, dimension, 1)
        self.none = nn.Parameter(torch.zeros(1))  # the score of choosing no reference

    def forward(self, x: Tensor, references: Tensor) -> Tensor:
        """x: [B, w, h, w']; references: [B, M, w, h, w']."""
        dtype = self.conv1.weight.dtype
        own, seen = x.to(dtype), references.to(dtype)
        matched = self._matched(own, seen) if self.attends else seen.mean(dim=1)
        branch = self.conv2(F.leaky_relu(self.conv1(torch.cat([own, matched], dim=1))))
        return x + branch.to(x.dtype)

    def _matched(self, own: Tensor, seen: Tensor) -> Tensor:
        number = seen.shape[1]
        keys = self.key(seen.flatten(0, 1)).unflatten(0, (-1, number))
        scores = (self.query(own)[:, None] * keys).float().sum(dim=2) * self.query.out_channels**-0.5
        scores = torch.cat([scores, self.none.float().expand_as(scores[:, :1])], dim=1)
        weights = scores.softmax(dim=1)[:, :number, None].to(own.dtype)
        return (weights * seen).sum(dim=1)


class Fusions(nn.ModuleList):
    """One for each scale. widths: of the transform's features."""

    def __init__(self, config: FusionConfig, widths: Sequence[int]) -> None:
        sizes = zip(widths, config.hidden, strict=True)
        dimension = config.dimension if config.attention else None
        super().__init__(Fusion(width, hidden, dimension) for width, hidden in sizes)

    def with_references(self, features: Features) -> AtScale:
        """What a transform does at the end of each scale."""
        return lambda scale, x: self[scale](x, features[scale])
