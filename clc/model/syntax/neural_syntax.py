"""The parts of the neural syntax, as the network has them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from clc.model.exact.convolution import ExactConv2d
from clc.model.gain import Rate
from clc.model.priors.likelihood import gaussian_likelihood, round_half_up, scale_of, with_rounding_error
from clc.model.syntax.config import SyntaxConfig
from clc.model.syntax.generated_layer import GeneratedLayer
from clc.model.syntax.generator import SyntaxGenerator
from clc.model.syntax.post_processing import PostProcessing
from clc.model.syntax.syntax_prior import SyntaxPrior
from clc.model.transforms.folded import AtScale

_LEFT_OUT = 0.25  # share of crops that train without their syntax: files may leave it out


class NeuralSyntax(nn.Module):
    """Makes the numbers of a photo, says how they are distributed, and changes the end of g_s by them.

    width: channels of g_s at 1/4 of the picture's resolution.
    """

    def __init__(self, config: SyntaxConfig, feature_channels: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.generator = SyntaxGenerator(config)
        self.prior = SyntaxPrior(config, feature_channels)
        self.layer = GeneratedLayer(config, width)
        self.post = None if config.post is None else PostProcessing(config.post, config)

    def numbers(self, normalised: Tensor, rate: Rate) -> Tensor:
        """Of a latent [B, C, h, w], in units of its channels' spread: [B, n], in quantisation steps, not rounded."""
        made: Tensor = self.generator(normalised[:, : self.config.part], rate)
        return made

    def forward(self, normalised: Tensor, features: Tensor, rate: Rate) -> tuple[Tensor, Tensor]:
        """Training pass: numbers [B, n] as a decoder has them, and their estimated bits [B].

        Some crops are left without any: their numbers are zero, and take no bits.
        """
        numbers = self.numbers(normalised, rate)
        mean, level = self.prior(features)
        values = with_rounding_error(numbers, mean, self.training)
        bits = -torch.log2(gaussian_likelihood(values, mean, scale_of(level))).sum(dim=1)
        decoded = round_half_up(numbers - mean) + mean
        if self.training:
            used = (torch.rand_like(bits) >= _LEFT_OUT).to(bits)
            decoded, bits = decoded * used[:, None], bits * used
        return decoded, bits

    def at_scale(self, numbers: Tensor) -> AtScale:
        """What g_s does at the end of its last scale, before its last convolution."""
        return lambda scale, x: self.layer(x, numbers) if scale == 0 else x

    def exact_layers(self) -> Iterator[ExactConv2d]:
        """The convolutions that say how numbers are distributed."""
        return (module for module in self.prior.modules() if isinstance(module, ExactConv2d))
