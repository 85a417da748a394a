"""Which of the candidates that a search found become references, where references condition the prior.

A search compares descriptions of pictures; the encoder has the latent itself, and can ask which candidates would
predict it. The decoder is told the answer.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.references.protocols import EntryLatents
from clc.model.tiles import split_latent

CANDIDATES_PER_REFERENCE = 4


def choose(
    latent: Tensor, candidates: NDArray[np.int64], latents: EntryLatents, gain: Tensor, number: int
) -> NDArray[np.int64]:
    """The `number` of the candidates [Q, N] that together predict T tiles best: int64 [Q, number].

    Q is T, or 1 for one choice for all tiles. Chosen one by one: each position of a tile uses the best of those chosen,
    and the next one is that which saves most.
    latent: [B, C, h, w], of T tiles in all; gain: [1, C, 1, 1], to quantisation steps.
    """
    tiles = split_latent(latent)
    inside = split_latent(torch.ones_like(latent[:, :1])).flatten(1)  # what lies beyond the latent is never coded
    offered = np.broadcast_to(candidates, (len(tiles), candidates.shape[1]))
    costs = torch.stack(  # [T, N, 256]
        [_costs(tile, latents.select(own).to(tile), gain) for tile, own in zip(tiles, offered, strict=True)]
    )
    costs *= inside[:, None]
    per_query = costs.transpose(0, 1).flatten(1)[None] if len(candidates) == 1 else costs
    chosen = np.empty((len(candidates), number), dtype=np.int64)
    for row, (own, cost) in enumerate(zip(candidates, per_query, strict=True)):
        best = torch.full_like(cost[0], torch.inf)
        for place in range(number):
            totals = torch.minimum(cost, best).sum(dim=1)
            totals[[int(np.flatnonzero(own == entry)[0]) for entry in chosen[row, :place]]] = torch.inf
            taken = int(totals.argmin())
            chosen[row, place] = own[taken]
            best = torch.minimum(best, cost[taken])
    return chosen


def _costs(tile: Tensor, references: Tensor, gain: Tensor) -> Tensor:
    """Cost of each position [N, 256]: about the bits of the differences [N, C, 16, 16], up to a factor."""
    return torch.log1p(((tile - references) * gain).square()).sum(dim=1).flatten(1)
