"""The search for the syntax of a photo: Adam moves its numbers along gradients of R + λ·D."""

import torch
from torch import Tensor

from clc.model.priors.likelihood import coded_bits, round_half_up, scale_of

_FASTEST, _FARTHEST = 0.5, 4.0  # quantisation steps that a number moves in a step, and in all of them
_BETAS = (0.9, 0.99)


class SyntaxSearch:
    """Numbers on their way.

    start: [1, n]; prior: means and scale levels, [1, n] each, which stay as they are. steps: how many there will be.
    Attribute `values`: where they are, not rounded.
    """

    def __init__(self, start: Tensor, prior: tuple[Tensor, Tensor], steps: int) -> None:
        self.values = start.clone()
        self._mean, level = prior
        self._scale = scale_of(level)
        self._optimiser = torch.optim.Adam([self.values], lr=min(_FASTEST, _FARTHEST / max(1, steps)), betas=_BETAS)

    def decoded(self, values: Tensor) -> Tensor:
        """What a decoder has of them, with the gradient of the identity."""
        return round_half_up(values - self._mean) + self._mean

    @property
    def bits(self) -> float:
        """Of the numbers as a decoder has them."""
        return float(coded_bits(self.decoded(self.values) - self._mean, self._scale).sum())

    def move(self, slope: Tensor) -> None:
        """One step, given the gradient of the rest of R + λ·D; that of their own bits is added."""
        own = self.values.clone().requires_grad_(True)
        (rate,) = torch.autograd.grad(coded_bits(own - self._mean, self._scale).sum(), own)
        self.values.grad = slope + rate
        self._optimiser.step()
