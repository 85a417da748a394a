"""The prior path: from the decoded hyper-latent and the slices decoded so far to Gaussian parameters (eq. 7 and 8).

Everything here is evaluated by the decoder before the last symbol is known, so it consists of `ExactConv2d`, ReLU,
gates and the arg max of a matching, and its inputs and outputs lie on fixed grids. Once frozen, encoder and decoder
agree to the last bit.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from clc.model.exact.convolution import LARGEST_INTEGER, ExactConv2d, snap, snap_
from clc.model.gain import Rate
from clc.model.priors.matching import Match, PriorMatcher, PriorMatchingConfig
from clc.model.priors.tables import LOG_SCALE_STEP, SCALE_LEVELS, SCALE_MIN
from clc.model.transforms.initialisation import starting_at

MEAN_EXPONENT = 6
"""Means, and so decoded latents, are multiples of 2^-MEAN_EXPONENT quantisation steps."""

_NORMALISED_EXPONENT = 10  # of latents in units of their usual deviation: 16 bits reach to 32 of them
LARGEST_NORMALISED = LARGEST_INTEGER * 2.0**-_NORMALISED_EXPONENT
"""Where latents in units of their usual deviation saturate."""
LARGEST_MEAN = LARGEST_INTEGER * 2.0**-MEAN_EXPONENT
"""Where means saturate, in quantisation steps."""
_DEVIATION_EXPONENT = 10
_INVERSE_EXPONENT = 12
_GATE_EXPONENT = 8
_START_GATE = 0.1  # of a match, when training starts
_LEVEL_EXPONENT = 5  # multiples of 1/16 level
_LEVEL_GAIN = 2.0  # one unit of the scale head's output is this many scale levels


class PriorConfig(BaseModel):
    """Sizes of the hyperprior and of the channel-autoregressive context model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hyper_channels: int = Field(ge=8, description="channels of the hyper-latent z")
    hyper_width: int = Field(ge=8, description="channels inside h_a and h_s, and of the hyper features")
    slices: tuple[int, ...] = Field(min_length=1, description="channels of each group of the context model")
    slice_width: int = Field(ge=8, description="channels inside each slice network")

    @property
    def feature_channels(self) -> int:
        """Channels of the hyper features: those of h_s, and one that says the rate."""
        return self.hyper_width + 1


class HyperAnalysis(nn.Sequential):
    """h_a: what the encoder knows [B, c, h, w] → z [B, N, h/4, w/4]. Runs there only, so it need not be exact."""

    def __init__(self, config: PriorConfig, in_channels: int) -> None:
        width = config.hyper_width
        super().__init__(
            nn.Conv2d(in_channels, width, 3, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(),
            nn.Conv2d(width, width, 5, stride=2, padding=2, padding_mode="replicate"),
            nn.LeakyReLU(),
            nn.Conv2d(width, config.hyper_channels, 5, stride=2, padding=2, padding_mode="replicate"),
        )


class HyperSynthesis(nn.Sequential):
    """h_s: integer ẑ [B, N, h/4, w/4] → hyper features [B, hyper_width, h, w]."""

    def __init__(self, config: PriorConfig) -> None:
        width = config.hyper_width
        super().__init__(
            ExactConv2d(config.hyper_channels, 4 * width, 3),
            nn.PixelShuffle(2),
            nn.ReLU(),
            ExactConv2d(width, 4 * width, 3),
            nn.PixelShuffle(2),
            nn.ReLU(),
        )


class SliceNetwork(nn.Module):
    """Support features [B, S, h, w] → normalised mean and scale level, before the gain's, of one slice, each
    [B, c, h, w].

    matches: whether there is a match [B, c, h, w] of the slice, which a gate mixes into the mean.
    """

    def __init__(self, support_channels: int, width: int, slice_channels: int, matches: bool) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            ExactConv2d(support_channels, width, 1), nn.ReLU(), ExactConv2d(width, width, 3), nn.ReLU()
        )
        self.mean = ExactConv2d(width, slice_channels, 1, output_exponent=_NORMALISED_EXPONENT)
        self.level = ExactConv2d(width, slice_channels, 1, output_exponent=_LEVEL_EXPONENT)
        if matches:
            self.gate = starting_at(_START_GATE, ExactConv2d(width, slice_channels, 1, output_exponent=_GATE_EXPONENT))

    @property
    def frozen(self) -> bool:
        """Whether results are exact."""
        return self.mean.frozen

    def forward(self, support: Tensor, match: Tensor | None) -> tuple[Tensor, Tensor]:
        features = self.trunk(support)
        mean = self.mean(features)
        if match is not None:
            mean = mean + _saturate(self.gate(features), 1.0) * (match - mean)
        return mean, self.level(features) * _LEVEL_GAIN


class Prior(nn.Module):
    """h_s and the slice networks: `prior.decode(prior.features(z_hat, rate), rate, quantise)`.

    The networks see latents, and predict means, in units of `spread`: the usual deviation of their channel at that
    rate. In quantisation steps, channels and rates differ by a factor of hundreds, and no learning rate suits all.

    matching: how references condition the parameters; None if they do not.
    Attribute `unmatched`: the networks of slices without references, empty if they are the same ones.
    """

    deviation: Tensor

    def __init__(self, config: PriorConfig, latent_channels: int, matching: PriorMatchingConfig | None = None) -> None:
        super().__init__()
        if sum(config.slices) != latent_channels:
            raise ValueError(f"slices of {config.slices} channels do not add up to {latent_channels}")
        self._widths = config.slices
        starts = [0, *accumulate(config.slices[:-1])]
        self.register_buffer("deviation", torch.ones(latent_channels))
        self.hyper_synthesis = HyperSynthesis(config)
        self.matches = nn.ModuleList()
        if matching is not None:
            for start in starts[: min(matching.stages, len(config.slices))]:
                self.matches.append(PriorMatcher(config.feature_channels + start, latent_channels, matching.dimension))
        self.slices = nn.ModuleList()
        for start, width in zip(starts, config.slices, strict=True):
            known = config.feature_channels + start
            # The slice's own match, the score, and the difference of what is before it.
            matched = 0 if matching is None else width + 1 + start
            network = SliceNetwork(known + matched, config.slice_width, width, matching is not None)
            nn.init.zeros_(network.get_parameter("trunk.0.weight").data[:, known:])  # a match says nothing at first
            self.slices.append(network)
        self.unmatched = nn.ModuleList()
        if matching is not None and matching.apart:
            for start, width in zip(starts, config.slices, strict=True):
                self.unmatched.append(SliceNetwork(config.feature_channels + start, config.slice_width, width, False))

    def features(self, z_hat: Tensor, rate: Rate) -> Tensor:
        """Hyper features [B, hyper_width + 1, h, w] of integer ẑ [B, N, h/4, w/4]; the last channel says the rate."""
        features: Tensor = self.hyper_synthesis(z_hat)
        return torch.cat([features, torch.full_like(features[:, :1], rate.position)], dim=1)

    def spread(self, rate: Rate) -> Tensor:
        """The deviation of a channel in quantisation steps, at least 1: [1, C, 1, 1], exact if `rate` is."""
        return (self.deviation.to(rate.gain)[None, :, None, None] * rate.gain).clamp(min=1.0)

    def normalised(self, latents: Tensor, spread: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Latents [..., c, h, w] before the gain [1, c, 1, 1] → in units of their spread [1, c, 1, 1], which is in
        quantisation steps; exact once frozen.
        """
        if not self.frozen:
            return latents * gain / spread
        return snap(latents, _NORMALISED_EXPONENT, _inverse(spread) * gain)

    def _normalised_references(self, references: Tensor, rate: Rate) -> Tensor:
        spread = self.spread(rate)
        if not self.frozen:
            return self.normalised(references, spread, rate.gain)
        return snap_(references.double(), _NORMALISED_EXPONENT, _inverse(spread) * rate.gain)

    @property
    def frozen(self) -> bool:
        """Whether results are exact."""
        return all(network.frozen for network in self.slices)

    @torch.no_grad()
    def start_at(self, deviation: Tensor) -> None:
        """Let every channel's scale start at its `deviation` [C], that of the latent before the gain."""
        grid = 2.0**_DEVIATION_EXPONENT
        self.deviation.copy_(torch.round(deviation * grid) / grid)
        levels = torch.log(self.deviation.clamp(min=1 / grid) / SCALE_MIN) / LOG_SCALE_STEP
        for networks in filter(len, (self.slices, self.unmatched)):
            for network, own in zip(networks, levels.split(self._widths), strict=True):
                network.get_parameter("level.bias").copy_(own / _LEVEL_GAIN)

    def decode(
        self,
        features: Tensor,
        rate: Rate,
        quantise: Callable[[int, Tensor, Tensor], Tensor],
        references: Tensor | None = None,
    ) -> Tensor:
        """Run the slices in order; the decoded latent [B, C, h, w], in quantisation steps.

        rate: exact, if the prior is frozen.
        quantise: (index, mean, level) → decoded slice, each [B, c, h, w]. It rounds in training, records symbols
        in an encoder and reads them in a decoder. Levels index the Gaussian tables: real numbers in
        0..SCALE_LEVELS-1 in training, whole ones once frozen.
        references: latents [T, M, C, 16, 16] of the tiles, before the gain, where the prior matches them.
        """
        networks = self.slices
        if references is not None:
            references = self._normalised_references(references, rate)
        elif len(self.unmatched):
            networks = self.unmatched
        decoded: list[Tensor] = []
        known = features  # and the normalised slices decoded so far
        ends = accumulate(self._widths)
        spreads, offsets = (each.split(self._widths, dim=1) for each in (self.spread(rate), rate.levels))
        match: Match | None = None
        for index, (network, spread, offset, end) in enumerate(zip(networks, spreads, offsets, ends, strict=True)):
            if references is not None and index < len(self.matches):
                last = index + 1 == len(self.matches)  # all slices that follow use it
                match = self.matches[index](known, references, None if last else end)
            mean, level = network(*self._support(known, match, end - self._widths[index], end))
            mean = mean * spread
            level = _saturate(level + offset, SCALE_LEVELS - 1.0)
            if self.frozen:
                mean = snap(mean, MEAN_EXPONENT)
                level = torch.floor(level + 0.5)  # once, after the sum: σ is off by half a level at most
            decoded.append(quantise(index, mean, level))
            if index + 1 < len(self._widths):
                known = torch.cat([known, self.normalised(decoded[-1], spread)], dim=1)
        return torch.cat(decoded, dim=1)

    def _support(self, known: Tensor, match: Match | None, start: int, end: int) -> tuple[Tensor, Tensor | None]:
        """What the network of the channels from `start` to `end` sees, and their match.

        How far what is decoded lies from its match says how far to trust the match of what is not.
        """
        if match is None:
            return known, None
        own = match.latents[:, start:end]
        difference = known[:, known.shape[1] - start :] - match.latents[:, :start]
        return torch.cat([known, own, match.score, difference], dim=1), own

    def freeze(self) -> None:
        """Make everything exact; every layer must have seen activations. Irreversible."""
        for module in self.modules():
            if isinstance(module, ExactConv2d | PriorMatcher):
                module.freeze()

    def restore(self) -> None:
        """Switch to exact evaluation with parameters that come from a model artifact."""
        for module in self.modules():
            if isinstance(module, ExactConv2d | PriorMatcher):
                module.restore()

    def exact_layers(self) -> Iterator[ExactConv2d]:
        """All convolutions of the prior path."""
        return (module for module in self.modules() if isinstance(module, ExactConv2d))


def _inverse(spread: Tensor) -> Tensor:
    """1 / spread, exact from here on: one correctly rounded division."""
    return torch.floor(2.0**_INVERSE_EXPONENT / spread + 0.5) * 2.0**-_INVERSE_EXPONENT


def _saturate(x: Tensor, upper: float) -> Tensor:
    """Clamped to 0..upper. Outside, only gradients that lead back in pass.

    With a plain clamp, what left the range once would never return; if all gradients passed, it would leave further and
    further, and be far from where it is needed at another rate.
    """
    if not x.requires_grad:
        return x.clamp(0.0, upper)
    from compressai.ops.bound_ops import LowerBoundFunction  # see `CompressionModel`

    zero = x.new_zeros(1)
    return upper - LowerBoundFunction.apply(upper - LowerBoundFunction.apply(x, zero), zero)


def scale_of(level: Tensor) -> Tensor:
    """Standard deviation σ, in quantisation steps, of a scale level (training only; coding uses the tables)."""
    return SCALE_MIN * torch.exp(level * LOG_SCALE_STEP)


def round_half_up(x: Tensor) -> Tensor:
    """Rounding to whole numbers with the gradient of the identity (straight-through)."""
    rounded = torch.floor(x + 0.5)
    return x + (rounded - x).detach() if x.requires_grad else rounded
