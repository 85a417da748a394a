"""References in the prior: what the decoder knows of them before it decodes a slice (exact, like all of the prior).

Every position of the latent asks all positions of all references which of them looks most like what is decoded so far,
and hands that one's latent vector to the slice. A softmax cannot be evaluated alike everywhere, an arg max over exact
numbers can: training uses the gradient of the former and the answer of the latter.
"""

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from clc.model.exact.convolution import FINEST_INPUT_EXPONENT, ExactConv2d, snap
from clc.model.tiles import LATENT_TILE, join_latent, split_latent

_SCORE_EXPONENT = 6
_SCORE_LIMIT = 2.0**8  # far above what tells two positions apart
_SCORE_INPUT = 2.0**-4  # factor on the score for the slices, whose other inputs are of the order of 1
_SCORE_SCALE = 2.0**-3  # about 1/√d: a power of two is exact
_START_BIAS = 3.0  # bias of the same position when training starts


class PriorMatchingConfig(BaseModel):
    """Sizes of the matching in the prior."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimension: int = Field(default=32, ge=1, description="of the vectors that are compared")
    stages: int = Field(default=2, ge=1, description="slices before which a match is made; later ones use the last")
    apart: bool = Field(default=False, description="what codes without references are networks of their own")


@dataclass(frozen=True)
class Match:
    """What was found at every position: latents [B, c, h, w], and the score [B, 1, h, w], how far to trust them."""

    latents: Tensor
    score: Tensor


class PriorMatcher(nn.Module):
    """Support [B, S, h, w] and references [T, M, C, 16, 16] of its T tiles → match of the first `channels` of C."""

    displacement: Tensor

    def __init__(self, support_channels: int, channels: int, dimension: int) -> None:
        super().__init__()
        self.query = ExactConv2d(support_channels, dimension, 3)
        self.key = ExactConv2d(channels, dimension, 1)
        # Photos of one place are aligned more often than not, so positions are preferred by how far away they are.
        reach = 2 * LATENT_TILE - 1
        self.bias = nn.Parameter(torch.zeros(reach, reach))
        self.bias.data[LATENT_TILE - 1, LATENT_TILE - 1] = _START_BIAS
        rows = torch.arange(LATENT_TILE)
        offsets = rows[:, None] - rows + LATENT_TILE - 1
        displacement = (offsets[:, None, :, None] * reach + offsets[None, :, None, :]).reshape(LATENT_TILE**2, -1)
        self.register_buffer("displacement", displacement, persistent=False)

    def forward(self, support: Tensor, references: Tensor, channels: int | None = None) -> Match:
        return self.matched(self.query(support), references, channels)

    def matched(self, asked: Tensor, references: Tensor, channels: int | None = None) -> Match:
        """`forward`, for what `query` makes of the support: [B, d, h, w]."""
        queries = split_latent(asked).flatten(2)  # [T, d, 256]
        positions = references.flatten(3).transpose(1, 2).flatten(2)  # [T, C, M·256]
        keys = self.key(positions.unflatten(2, (-1, LATENT_TILE))).flatten(2)  # [T, d, M·256]
        values = positions[:, :channels]
        # Not by indexing: its gradient is summed by all threads at once, in an order that differs from run to run.
        bias = self.bias.flatten().index_select(0, self.displacement.flatten()).view(self.displacement.shape)
        bias = bias.repeat(1, references.shape[1])
        # On a CPU tile by tile: the scores of one stay in the caches.
        together = len(queries) if queries.is_cuda else 1
        parts = zip(*(each.split(together) for each in (queries, keys, values)), strict=True)
        matched, best = (torch.cat(each) for each in zip(*[_best(bias, *part) for part in parts], strict=True))
        score = best.clamp(-_SCORE_LIMIT, _SCORE_LIMIT)[:, None]
        if self.query.frozen:
            score = snap(score, _SCORE_EXPONENT)
        return Match(*(_joined(each, *asked.shape[-2:]) for each in (matched, score * _SCORE_INPUT)))

    @torch.no_grad()
    def freeze(self) -> None:
        """Put the bias on the grid of the inputs of exact layers; the layers are frozen by themselves."""
        self.bias.copy_(torch.round(self.bias * 2.0**FINEST_INPUT_EXPONENT) / 2.0**FINEST_INPUT_EXPONENT)
        self.restore()

    def restore(self) -> None:
        """Switch to exact evaluation, as `ExactConv2d.restore` does for its weights."""
        self.bias.data = self.bias.data.double()


def _best(bias: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Of tiles: bias [256, N], queries [t, d, 256], keys [t, d, N], values [t, c, N] → values of the best of the N for
    each query [t, c, 256], and their scores [t, 256].
    """
    scores = torch.baddbmm(bias, queries.transpose(1, 2), keys, alpha=_SCORE_SCALE)
    best, place = scores.max(dim=2)  # the first of equal ones
    matched = values.gather(2, place[:, None].expand(-1, values.shape[1], -1))
    if scores.requires_grad:
        soft = values @ torch.softmax(scores, dim=2).transpose(1, 2)
        matched = matched.detach() + (soft - soft.detach())
    return matched, best


def nearest(latent: Tensor, references: Tensor) -> Tensor:
    """At each position of a latent [B, C, h, w], the nearest of its tile's references [T, M, C, 16, 16] there.

    Only an encoder can ask for it.
    """
    tiles = split_latent(latent)[:, None]
    closest = (tiles - references).square().sum(dim=2, keepdim=True).argmin(dim=1, keepdim=True)  # [T, 1, 1, 16, 16]
    chosen = references.gather(1, closest.expand(-1, -1, references.shape[2], -1, -1))[:, 0]
    return join_latent(chosen, *latent.shape[-2:])


def _joined(tiles: Tensor, height: int, width: int) -> Tensor:
    """[T, c, 256] → [B, c, height, width]."""
    return join_latent(tiles.unflatten(2, (LATENT_TILE, LATENT_TILE)), height, width)
