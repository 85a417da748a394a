"""The units that the prior works in: the usual deviation of a channel at a rate."""

import torch
from torch import Tensor, nn

from clc.model.exact.convolution import LARGEST_INTEGER, snap, snap_
from clc.model.gain import Rate

NORMALISED_EXPONENT = 10
"""Normalised latents are multiples of 2^-NORMALISED_EXPONENT: 16 bits reach to 32 usual deviations."""
LARGEST_NORMALISED = LARGEST_INTEGER * 2.0**-NORMALISED_EXPONENT
"""Where latents in units of their usual deviation saturate."""
_DEVIATION_GRID = 2.0**10
_INVERSE_GRID = 2.0**12


class ChannelScale(nn.Module):
    """Latents in units of `spread`, the usual deviation of their channel at a rate.

    In quantisation steps, channels and rates differ by a factor of hundreds, and no learning rate suits all.
    Attribute `deviation`: that of the latent before the gain, [C].
    """

    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.ones(channels))
        self.exact = False

    @torch.no_grad()
    def start_at(self, deviation: Tensor) -> None:
        """Set the deviations [C], on the grid that they are computed with."""
        self.deviation.copy_(torch.round(deviation * _DEVIATION_GRID) / _DEVIATION_GRID)

    def spread(self, rate: Rate) -> Tensor:
        """The deviation of a channel in quantisation steps, at least 1: [1, C, 1, 1], exact if `rate` is."""
        return (self.deviation.to(rate.gain)[None, :, None, None] * rate.gain).clamp(min=1.0)

    def relative(self, latents: Tensor, rate: Rate) -> Tensor:
        """Latents [B, C, h, w] in quantisation steps → in units of their spread, in floating point."""
        return latents / self.spread(rate)

    def normalised(self, latents: Tensor, spread: Tensor) -> Tensor:
        """Latents [..., c, h, w] in quantisation steps → in units of their spread [1, c, 1, 1]."""
        return snap(latents, NORMALISED_EXPONENT, _inverse(spread)) if self.exact else latents / spread

    def normalised_references(self, references: Tensor, rate: Rate) -> Tensor:
        """References [T, M, C, 16, 16], before the gain → in units of their spread."""
        spread, gain = self.spread(rate), rate.gain
        if self.exact:
            return snap_(references.double(), NORMALISED_EXPONENT, _inverse(spread) * gain)
        return references * (gain / spread)[:, None]


def _inverse(spread: Tensor) -> Tensor:
    """1 / spread, exact from here on: one correctly rounded division."""
    return torch.floor(_INVERSE_GRID / spread + 0.5) / _INVERSE_GRID
