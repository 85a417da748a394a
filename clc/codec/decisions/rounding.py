"""How the latent becomes symbols: the nearest ones, or those that cost least in R + λ·D, one by one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from clc.model.priors.likelihood import coded_bits, scale_of
from clc.model.priors.stages import Block


@dataclass(frozen=True)
class Aim:
    """What the symbols of an image shall come near.

    latent: [1, C, h, w], in quantisation steps; hyper: z [1, N, h/4, w/4], not rounded.
    weight: bits that the square of a distance of one step is worth, [1, C, 1, 1]; None takes the nearest symbols.
    syntax: numbers [1, n], not rounded, for a model that has a syntax.
    """

    latent: Tensor
    hyper: Tensor
    weight: Tensor | None = None
    syntax: Tensor | None = None

    def symbols(self, block: Block, mean: Tensor, level: Tensor) -> Tensor:
        """The symbols of a block, whole numbers around 0, given its means and scale levels, all as `Block.of` has it.

        With a weight, one that is less likely than its neighbour towards 0 has to be worth its bits.
        """
        weight = None if self.weight is None else block.each(self.weight)
        return symbols_near(block.of(self.latent), mean, level, weight)


def symbols_near(latent: Tensor, mean: Tensor, level: Tensor, weight: Tensor | None) -> Tensor:
    """`Aim.symbols`, given what belongs to the block."""
    distance = latent - mean
    nearest = torch.floor(distance + 0.5)
    if weight is None:
        return nearest
    smaller = nearest - torch.sign(nearest)
    scale = scale_of(level)
    near, small = (
        coded_bits(symbols, scale) + weight * (symbols - distance).square() for symbols in (nearest, smaller)
    )
    return torch.where(small < near, smaller, nearest)
