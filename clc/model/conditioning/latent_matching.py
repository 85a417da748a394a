"""Conditional Latent Matching (CLM, paper §3.3 (1)): similarity of eq. 4, then multi-scale deformable alignment.

The references are weighed against each other by the attention over entries (eq. 1).
"""

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from clc.model.conditioning.attention import AttentionConfig, EntryAttention
from clc.model.conditioning.deformable import deformable_convolution
from clc.model.transforms.initialisation import starting_at


class MatchingConfig(BaseModel):
    """Sizes of the matching and alignment networks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding: int = Field(ge=8, description="dimension that φ maps latent vectors to")
    width: int = Field(ge=8, description="channels inside the deformable alignment")
    groups: int = Field(ge=1, description="channel groups with offsets of their own in the deformable convolutions")
    attention: AttentionConfig = AttentionConfig()
    scales: int = Field(ge=1, le=3, description="resolutions of the alignment, each half the one before")


class ConditionalLatentMatching(nn.Module):
    """Queries [T, C, h, w] and references [T, M, C, s, s] → aligned reference y_a [T, C, h, w]."""

    def __init__(self, config: MatchingConfig, channels: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(  # of vectors: as 1×1 convolutions, these take twice as long
            nn.Linear(channels, config.embedding),
            nn.LeakyReLU(),
            nn.Linear(config.embedding, config.embedding),
        )
        self.log_temperature = nn.Parameter(torch.tensor(0.5 * math.log(config.embedding)))
        self.attention = EntryAttention(config.attention, channels)
        self.retrieved = starting_at(0.0, nn.Conv2d(config.attention.dimension, channels, 1))
        self.alignments = nn.ModuleList(
            DeformableAlignment(channels, config.width, config.groups) for _ in range(config.scales)
        )

    def forward(self, query: Tensor, references: Tensor) -> Tensor:
        match = self.match(query, references)
        aligned = match
        for scale, alignment in enumerate(self.alignments):
            aligned = aligned + _at_scale(alignment, scale, query, match)
        return aligned

    def match(self, query: Tensor, references: Tensor) -> Tensor:
        """y_m = S·Y_r with S of eq. 4, over all positions of all references, and what eq. 1 retrieves.

        In S, every reference starts from its weight in eq. 1.
        """
        values = references.flatten(3).transpose(2, 3).flatten(1, 2)  # [T, M·ss, C]
        log_weights, retrieved = self.attention(query, references)
        prior = log_weights.repeat_interleave(references[0, 0, 0].numel(), dim=1)[:, None]  # [T, 1, M·ss]
        phi_query = self.embed(query.flatten(2).transpose(1, 2)) * torch.exp(-self.log_temperature)  # [T, hw, E]
        similarity = torch.softmax(torch.baddbmm(prior, phi_query, self.embed(values).transpose(1, 2)), dim=2)
        matched = (similarity @ values).transpose(1, 2).unflatten(2, tuple(query.shape[-2:]))
        return matched + self.retrieved(retrieved[..., None, None])


class MeanReference(nn.Module):
    """What takes the place of CLM in its ablation: the mean of the references, wherever the query lies."""

    def forward(self, query: Tensor, references: Tensor) -> Tensor:
        height, width = query.shape[-2:]
        return F.adaptive_avg_pool2d(references.mean(dim=1), (height, width))


class DeformableAlignment(nn.Module):
    """A modulated 3×3 deformable convolution over the match; offsets come from the query and the match."""

    def __init__(self, channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.taps = 3 * 3 * groups
        self.offsets = nn.Sequential(
            nn.Conv2d(2 * channels, width, 3, padding=1),
            nn.LeakyReLU(),
            starting_at(0.0, nn.Conv2d(width, 3 * self.taps, 3, padding=1)),  # the regular grid
        )
        # Deformed convolutions are slow on a CPU, so they run between two pointwise ones.
        self.reduce = nn.Conv2d(channels, width, 1)
        self.deformed = nn.Conv2d(width, width, 3)  # holds the weights of the deformable convolution
        self.expand = starting_at(0.0, nn.Conv2d(width, channels, 1))  # no correction to the match

    def forward(self, query: Tensor, match: Tensor) -> Tensor:
        offsets = self.offsets(torch.cat([query, match], dim=1))
        shift, mask = offsets[:, : 2 * self.taps], torch.sigmoid(offsets[:, 2 * self.taps :])
        weight, bias = self.deformed.weight, self.deformed.bias
        assert bias is not None
        return self.expand(deformable_convolution(self.reduce(match), shift, mask, weight, bias))


def _at_scale(alignment: nn.Module, scale: int, query: Tensor, match: Tensor) -> Tensor:
    if scale == 0:
        return alignment(query, match)
    factor = 2**scale
    coarse = alignment(F.avg_pool2d(query, factor), F.avg_pool2d(match, factor))
    return F.interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)
