"""What is decoded at once: the channels of a slice, at all positions or at some of each 2×2 cell.

The spatial stages of the asymmetric spatial-channel entropy model (DKIC): later stages know the symbols of earlier
ones. Whatever belongs to a block has the positions of its phases one phase after the other, along the batch.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

Phase = tuple[int, int]
"""Row and column within a 2×2 cell."""
_CELL: tuple[Phase, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
_ORDER: tuple[Phase, ...] = ((0, 0), (1, 1), (0, 1), (1, 0))  # diagonal neighbours first: they say most of the rest


def phases_of_stages(number: int) -> tuple[tuple[Phase, ...], ...]:
    """The phases of each of 1, 2 or 4 stages; a single stage has none, and is everything."""
    if number == 1:
        return ((),)
    size = len(_ORDER) // number
    return tuple(_ORDER[start : start + size] for start in range(0, len(_ORDER), size))


def at_phases(x: Tensor, phases: tuple[Phase, ...]) -> Tensor:
    """[B, c, h, w] → [n·B, c, h/2, w/2] of n phases; without phases, all of it."""
    return torch.cat([x[:, :, row::2, column::2] for row, column in phases]) if phases else x


@dataclass(frozen=True)
class Block:
    """The channels `start` to `end` of a latent, at the positions of `phases`, or at all if there are none."""

    start: int
    end: int
    phases: tuple[Phase, ...] = ()

    def of(self, latent: Tensor) -> Tensor:
        """The block's part of a latent [B, C, h, w], h and w even: [n·B, c, h/2, w/2], or [B, c, h, w]."""
        return at_phases(latent[:, self.start : self.end], self.phases)

    def put(self, whole: Tensor, part: Tensor) -> None:
        """Write the block's part, as `of` has it, into a latent [B, C, h, w]."""
        own = whole[:, self.start : self.end]
        if not self.phases:
            own.copy_(part)
            return
        for (row, column), at_phase in zip(self.phases, part.chunk(len(self.phases)), strict=True):
            own[:, :, row::2, column::2] = at_phase

    def each(self, factors: Tensor) -> Tensor:
        """The block's part of factors per channel [1 or B, C, 1, 1]."""
        own = factors[:, self.start : self.end]
        return own if len(own) == 1 or not self.phases else own.repeat(len(self.phases), 1, 1, 1)


@dataclass
class Assembled:
    """A slice, as far as its blocks are decoded: `latent` is zero where it is not, `known` says where it is."""

    parts: dict[Phase, Tensor] = field(default_factory=dict)
    everything: Tensor | None = None

    def add(self, block: Block, decoded: Tensor) -> None:
        """Take in what was decoded of a block."""
        if block.phases:
            self.parts |= dict(zip(block.phases, decoded.chunk(len(block.phases)), strict=True))
        else:
            self.everything = decoded

    @property
    def empty(self) -> bool:
        """Whether nothing is decoded yet."""
        return self.everything is None and not self.parts

    @property
    def latent(self) -> Tensor:
        """What is decoded so far, 0 elsewhere: [B, c, h, w]."""
        if self.everything is not None:
            return self.everything
        zero = torch.zeros_like(next(iter(self.parts.values())))
        return F.pixel_shuffle(torch.stack([self.parts.get(phase, zero) for phase in _CELL], dim=2).flatten(1, 2), 2)

    @property
    def known(self) -> Tensor:
        """1 where something is decoded, 0 elsewhere: [B, 1, h, w]."""
        like = next(iter(self.parts.values()))[:, :1]
        cells = [torch.ones_like(like) if phase in self.parts else torch.zeros_like(like) for phase in _CELL]
        return F.pixel_shuffle(torch.cat(cells, dim=1), 2)
