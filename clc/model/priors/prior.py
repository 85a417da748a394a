"""The prior path: from the decoded hyper-latent and the slices decoded so far to Gaussian parameters (eq. 7 and 8).

Everything here but h_a is evaluated by the decoder before the last symbol is known, so it consists of `ExactConv2d`,
ReLU, gates and the arg max of a matching, and its inputs and outputs lie on fixed grids. Once frozen, encoder and
decoder agree to the last bit.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from clc.model.exact.convolution import LARGEST_INTEGER, ExactConv2d, snap
from clc.model.gain import Rate
from clc.model.priors.config import PriorConfig
from clc.model.priors.hyper import HyperSynthesis
from clc.model.priors.likelihood import saturated
from clc.model.priors.matching import Match, PriorMatcher, PriorMatchingConfig, nearest
from clc.model.priors.scale import ChannelScale
from clc.model.priors.slices import SliceNetwork, StagedSliceNetwork, slice_network
from clc.model.priors.stages import Assembled, Block
from clc.model.priors.tables import LOG_SCALE_STEP, SCALE_LEVELS, SCALE_MIN

MEAN_EXPONENT = 6
"""Means, and so decoded latents, are multiples of 2^-MEAN_EXPONENT quantisation steps."""
LARGEST_MEAN = LARGEST_INTEGER * 2.0**-MEAN_EXPONENT
"""Where means saturate, in quantisation steps."""

Quantise = Callable[[Block, Tensor, Tensor], Tensor]
"""(block, mean, level) → what is decoded of the block, all as `Block.of` has it. It rounds in training, records symbols
in an encoder and reads them in a decoder. Levels index the Gaussian tables: real numbers in 0..SCALE_LEVELS-1 in
training, whole ones once frozen."""
HyperAnalysisOf = Callable[[int], nn.Module]
"""A new h_a of so many input channels."""


class PlainPrior(nn.Module):
    """h_a and the slices of what is coded without references."""

    matched_channels = False

    def __init__(self, config: PriorConfig, channels: int, hyper_analysis: HyperAnalysisOf) -> None:
        super().__init__()
        self.h_a = hyper_analysis(channels * (2 if self.matched_channels else 1))
        networks = []
        stages: Sequence[int | None] = config.stages or [None] * len(config.slices)
        for start, width, number in zip(_starts(config), config.slices, stages, strict=True):
            # The slice's own match, the score, and the difference of what is before it.
            matched = width + 1 + start if self.matched_channels else 0
            known = config.feature_channels + start
            networks.append(slice_network(known, matched, config.slice_width, width, number))
        self.slices = nn.ModuleList(networks)

    @property
    def networks(self) -> list[SliceNetwork]:
        """The slice networks, in order."""
        return [each for each in self.slices if isinstance(each, SliceNetwork)]

    def hyper_latent(self, normalised: Tensor, references: Tensor | None) -> Tensor:
        """z [B, N, h/4, w/4], not rounded, of a normalised latent [B, C, h, w] and references [T, M, C, 16, 16]."""
        z: Tensor = self.h_a(self.seen(normalised, references))
        return z

    def seen(self, normalised: Tensor, references: Tensor | None) -> Tensor:
        """What h_a sees."""
        return normalised

    def match(self, index: int, known: Tensor, references: Tensor | None, before: Match | None) -> Match | None:
        """The references' match for slice `index`, given what is decoded; `before`: the match of the slice before."""
        return None


class ConditionedPrior(PlainPrior):
    """h_a, matching and slices of what is coded with references. It can code without any, if it has learned to."""

    matched_channels = True

    def __init__(
        self, config: PriorConfig, channels: int, hyper_analysis: HyperAnalysisOf, matching: PriorMatchingConfig
    ) -> None:
        super().__init__(config, channels, hyper_analysis)
        self.matches = nn.ModuleList(
            PriorMatcher(config.feature_channels + start, channels, matching.dimension)
            for start in _starts(config)[: matching.stages]
        )
        self._ends = [*accumulate(config.slices)]

    def seen(self, normalised: Tensor, references: Tensor | None) -> Tensor:
        """h_a also sees how far the references lie, so that ẑ can say how far to trust them."""
        difference = torch.zeros_like(normalised)
        if references is not None:
            difference = normalised - nearest(normalised, references)
        return torch.cat([normalised, difference], dim=1)

    def match(self, index: int, known: Tensor, references: Tensor | None, before: Match | None) -> Match | None:
        if references is None or index >= len(self.matches):
            return before
        found: Match = self.matches[index](known, references, self.matched_before(index))
        return found

    def matched_before(self, index: int) -> int | None:
        """How many channels the match before slice `index` is asked for; None: all, for all slices that follow."""
        return None if index + 1 == len(self.matches) else self._ends[index]


class Prior(nn.Module):
    """h_s, and the prior that codes with references or the one that codes without:
    `prior.decode(prior.features(z_hat, rate), rate, quantise)`.

    matching: how references condition the parameters; None if they do not. What codes without references is
    `conditioned` too, unless that has a plain prior beside it (`matching.apart`).
    Attribute `blocks`: where the channels of each slice start and end.
    """

    def __init__(
        self,
        config: PriorConfig,
        latent_channels: int,
        hyper_analysis: HyperAnalysisOf,
        matching: PriorMatchingConfig | None = None,
    ) -> None:
        super().__init__()
        if sum(config.slices) != latent_channels:
            raise ValueError(f"slices of {config.slices} channels do not add up to {latent_channels}")
        self.blocks = [*pairwise([0, *accumulate(config.slices)])]
        self.feature_channels = config.feature_channels
        self.scale = ChannelScale(latent_channels)
        self.hyper_synthesis = HyperSynthesis(config)
        self.conditioned: ConditionedPrior | None = None
        self.plain: PlainPrior | None = None
        if matching is not None:
            self.conditioned = ConditionedPrior(config, latent_channels, hyper_analysis, matching)
        if matching is None or matching.apart:
            self.plain = PlainPrior(config, latent_channels, hyper_analysis)

    def of(self, references: Tensor | None) -> PlainPrior:
        """The prior that codes with these references, or without any."""
        found = self.conditioned if references is not None or self.plain is None else self.plain
        assert found is not None, "only a prior that matches is given references"
        return found

    def hyper_latent(self, scaled: Tensor, rate: Rate, references: Tensor | None = None) -> Tensor:
        """h_a: latent [B, C, h, w] in quantisation steps → z [B, N, h/4, w/4], not rounded.

        references: as for `decode`.
        """
        return self.of(references).hyper_latent(*self.normalised(scaled, rate, references))

    def normalised(self, scaled: Tensor, rate: Rate, references: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """A latent in quantisation steps, and references, in units of their spread, in floating point."""
        spread = self.scale.spread(rate)
        return scaled / spread, None if references is None else references * (rate.gain / spread)[:, None]

    def features(self, z_hat: Tensor, rate: Rate) -> Tensor:
        """Hyper features [B, hyper_width + 1, h, w] of integer ẑ [B, N, h/4, w/4]; the last channel says the rate."""
        features: Tensor = self.hyper_synthesis(z_hat)
        return torch.cat([features, torch.zeros_like(features[:, :1]) + rate.position], dim=1)

    @torch.no_grad()
    def start_at(self, deviation: Tensor) -> None:
        """Let every channel's scale start at its `deviation` [C], that of the latent before the gain."""
        self.scale.start_at(deviation)
        levels = torch.log(self.scale.deviation.clamp(min=2.0**-10) / SCALE_MIN) / LOG_SCALE_STEP
        for own in (self.plain, self.conditioned):
            if own is not None:
                for network, (start, end) in zip(own.networks, self.blocks, strict=True):
                    network.start_at(levels[start:end])

    def decode(self, features: Tensor, rate: Rate, quantise: Quantise, references: Tensor | None = None) -> Tensor:
        """Run the slices in order, stage by stage; the decoded latent [B, C, h, w], in quantisation steps.

        rate: exact, if the prior is frozen. references: latents [T, M, C, 16, 16] of the tiles, before the gain, where
        the prior matches them.
        """
        prior = self.of(references)
        if references is not None:
            references = self.scale.normalised_references(references, rate)
        spread = self.scale.spread(rate)
        decoded: list[Tensor] = []
        known = features  # and the normalised slices decoded so far
        match: Match | None = None
        for index, (network, (start, end)) in enumerate(zip(prior.networks, self.blocks, strict=True)):
            match = prior.match(index, known, references, match)
            support, own_match = support_of(known, match, start, end)
            begun, latent = network.begin(support), Assembled()
            for phases in network.stages:
                own = None
                if not latent.empty:
                    own = self.own(latent.latent, latent.known, spread[:, start:end], own_match)
                block = Block(start, end, phases)
                mean, level = self.means_and_levels(network(begun, own, own_match, phases), block, spread, rate)
                latent.add(block, quantise(block, mean, level))
            decoded.append(latent.latent)
            if index + 1 < len(self.blocks):
                known = torch.cat([known, self.scale.normalised(decoded[-1], spread[:, start:end])], dim=1)
        return torch.cat(decoded, dim=1)

    def means_and_levels(
        self, said: tuple[Tensor, Tensor], block: Block, spread: Tensor, rate: Rate
    ) -> tuple[Tensor, Tensor]:
        """What a network says of a block → its means in quantisation steps, and its scale levels."""
        mean = said[0] * block.each(spread)
        level = saturated(said[1] + block.each(rate.levels), SCALE_LEVELS - 1.0)
        if self.scale.exact:
            mean = snap(mean, MEAN_EXPONENT)
            level = torch.floor(level + 0.5)  # once, after the sum: σ is off by half a level at most
        return mean, level

    def own(self, latent: Tensor, known: Tensor, spread: Tensor, match: Tensor | None) -> Tensor:
        """What a stage sees of its own slice: as far as it is decoded, where that is, and how far from its match.

        latent [B, c, h, w], 0 where it is not decoded; known [B, 1, h, w]: 1 where it is, 0 elsewhere.
        """
        normalised = self.scale.normalised(latent, spread)
        seen = [normalised, known] if match is None else [normalised, known, (normalised - match) * known]
        return torch.cat(seen, dim=1)

    def freeze(self) -> None:
        """Make everything exact; every layer must have seen activations. Irreversible."""
        self._make_exact("freeze")

    def restore(self) -> None:
        """Switch to exact evaluation with parameters that come from a model artifact."""
        self._make_exact("restore")

    def _make_exact(self, how: str) -> None:
        for module in self.modules():
            if isinstance(module, ExactConv2d | PriorMatcher):
                getattr(module, how)()
        for module in self.modules():
            if isinstance(module, StagedSliceNetwork):
                module.check()
        self.scale.exact = True

    def exact_layers(self) -> Iterator[ExactConv2d]:
        """All convolutions of the prior path."""
        return (module for module in self.modules() if isinstance(module, ExactConv2d))


def _starts(config: PriorConfig) -> list[int]:
    return [0, *accumulate(config.slices[:-1])]


def support_of(known: Tensor, match: Match | None, start: int, end: int) -> tuple[Tensor, Tensor | None]:
    """What the network of the channels from `start` to `end` sees, and their match.

    How far what is decoded lies from its match says how far to trust the match of what is not.
    """
    if match is None:
        return known, None
    own = match.latents[:, start:end]
    difference = known[:, known.shape[1] - start :] - match.latents[:, :start]
    return torch.cat([known, own, match.score, difference], dim=1), own
