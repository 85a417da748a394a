"""The network of the codec: transforms, conditional matching and synthesis, gain units and prior (paper §3.3).

In training, `forward` gives the reconstruction and the estimated bits. `freeze` then turns the prior path into exact
integer arithmetic with frozen tables, after which a codec reads and writes bitstreams with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clc.model.conditioning.attention import EntryAttention
from clc.model.conditioning.fusion import Ends, Features, Fusions
from clc.model.conditioning.int8 import dequantise, quantise
from clc.model.conditioning.latent_matching import ConditionalLatentMatching, MeanReference
from clc.model.conditioning.latent_synthesis import ConditionalLatentSynthesis, MeanFusion
from clc.model.config import Ablation, ModelConfig
from clc.model.exact.convolution import ExactConv2d
from clc.model.gain import GainUnit, Rate
from clc.model.priors.likelihood import (
    FactorizedPrior,
    gaussian_likelihood,
    round_half_up,
    scale_of,
    with_rounding_error,
)
from clc.model.priors.prior import Prior, Quantise
from clc.model.priors.stages import Block
from clc.model.priors.tables import FrequencyTables, gaussian_tables, trim
from clc.model.syntax.neural_syntax import NeuralSyntax
from clc.model.tiles import LATENT_TILE, join_latent, split_latent
from clc.model.transforms.convolutional import ConvolutionalAnalysis, ConvolutionalConfig, LatentResidual
from clc.model.transforms.folded import AtScale

_HYPER_RADIUS = 512  # ẑ beyond this is escaped; far outside what training produces
_CONDITIONED, _PLAIN = "prior.conditioned.", "prior.plain."


@dataclass(frozen=True)
class Reconstruction:
    """What `forward` returns. Bits are estimates for each crop: [B]."""

    image: Tensor | None  # [B, 3, H, W], not clamped; None if only rates were asked for
    latent_bits: Tensor  # of ŷ_f
    hyper_bits: Tensor  # of ẑ
    syntax_bits: Tensor | None = None  # of the syntax, for a model that has one
    processed: Tensor | None = None  # the image after post-processing, for a model that has it

    @property
    def bits(self) -> Tensor:
        """All of them."""
        bits = self.latent_bits + self.hyper_bits
        return bits if self.syntax_bits is None else bits + self.syntax_bits


@dataclass(frozen=True)
class CalibrationCrop:
    """One crop that `freeze` measures activations on."""

    image: Tensor  # [1, 3, s, s]
    references: Tensor | None  # [1, M, C, 16, 16]
    quality: float
    features: Features | None = None  # of their pictures, for a model that fuses


class CompressionModel(nn.Module):
    """The whole network; it wires its parts.

    >>> from clc.model.presets import PRESETS
    >>> model = CompressionModel(PRESETS["tiny"])
    >>> model(torch.rand(1, 3, 256, 256), None, quality=50.0).image.shape
    torch.Size([1, 3, 256, 256])
    """

    hyper_tables: FrequencyTables
    latent_tables: FrequencyTables

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.transform.latent_channels
        self.config = config
        self.g_a = config.transform.analysis()
        self.g_s = config.transform.synthesis()
        self.gain = GainUnit(channels)
        if config.conditioning.synthesises:
            matches, fuses = config.without is not Ablation.CLM, config.without is not Ablation.CLS
            self.matching = ConditionalLatentMatching(config.matching, channels) if matches else MeanReference()
            self.synthesis = ConditionalLatentSynthesis(channels) if fuses else MeanFusion()
        self.fuse_a: Fusions | None = None
        self.fuse_s: Fusions | None = None
        if config.fuses:
            assert isinstance(config.transform, ConvolutionalConfig), "validated"
            if config.fusion.ends is not Ends.SYNTHESIS:
                self.fuse_a = Fusions(config.fusion, config.transform.widths)
            if config.fusion.ends is not Ends.ANALYSIS:
                self.fuse_s = Fusions(config.fusion, config.transform.widths)
        self.prior = Prior(
            config.prior,
            channels,
            lambda inputs: config.transform.hyper_analysis(config.prior, inputs),
            config.prior_matching if config.conditioning.informs_prior else None,
        )
        deviation = config.transform.start().latent_deviation(channels)
        self.prior.start_at(deviation)
        self.residual = LatentResidual(channels + config.prior.feature_channels, config.prior.slice_width, channels)
        if config.learns_references:
            shape = (config.references, channels, LATENT_TILE, LATENT_TILE)
            self.learned_references = nn.Parameter(torch.randn(shape) * deviation[:, None, None])
        self.hyper_prior = FactorizedPrior(config.prior.hyper_channels)
        self.syntax: NeuralSyntax | None = None
        if config.syntax is not None:
            assert isinstance(config.transform, ConvolutionalConfig), "validated"
            self.syntax = NeuralSyntax(config.syntax, config.prior.feature_channels, config.transform.widths[0])
        self.frozen = False

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.gain.log_gain.device

    @property
    def attention(self) -> EntryAttention:
        """The attention over entries (eq. 1) of a network that `attends`."""
        assert isinstance(self.matching, ConditionalLatentMatching)
        return self.matching.attention

    def forward(
        self,
        image: Tensor,
        references: Tensor | None,
        quality: float | Tensor,
        synthesise: bool = True,
        features: Features | None = None,
    ) -> Reconstruction:
        """Training pass over tiles.

        image: [B, 3, s, s] in [0, 1], s a multiple of 64 up to 256; references: [B, M, C, 16, 16] or None to code
        without any. A model that learns references uses its own. quality: of all, or [B], one a crop.
        synthesise: False leaves g_s, half of the work, out. features: of the references' pictures, for a model that
        fuses (`picture_features`); without any, its transforms are as if there were no references.
        """
        if self.config.learns_references:
            references = self.learned_references.expand(len(image), -1, -1, -1, -1)
        latent = self.analyse(image, features).float()
        # Under autocast only the transforms run in half precision: rates come from differences of large numbers.
        with torch.autocast(latent.device.type, enabled=False):
            rate = self.gain.rate(quality)
            scaled = self.condition(latent, references) * rate.gain
            z = self.hyper_latent(scaled, quality, references)
            hyper_bits = _bits(self.hyper_prior(z))
            hyper_features = self.prior.features(round_half_up(z), rate)
            bits: list[Tensor] = []

            def quantise(block: Block, mean: Tensor, level: Tensor) -> Tensor:
                own = block.of(scaled)
                values = with_rounding_error(own, mean, self.training)
                parts = _bits(gaussian_likelihood(values, mean, scale_of(level)))
                bits.append(parts.unflatten(0, (-1, len(image))).sum(dim=0))
                return round_half_up(own - mean) + mean

            decoded = self.decode(hyper_features, rate, quantise, references)
            latent_bits = torch.stack(bits).sum(dim=0)
            syntax, syntax_bits = None, None
            if self.syntax is not None:
                syntax, syntax_bits = self.syntax(self.prior.scale.relative(scaled, rate), hyper_features, rate)
            if not synthesise:
                return Reconstruction(None, latent_bits, hyper_bits, syntax_bits)
            restored = self.condition(self.refine(decoded, hyper_features, quality), references)
        shown = self.synthesise(restored, features, syntax=syntax).float()
        return Reconstruction(shown, latent_bits, hyper_bits, syntax_bits, self._processed(shown, syntax))

    def _processed(self, shown: Tensor, syntax: Tensor | None) -> Tensor | None:
        """After post-processing, which learns from the picture and does not teach it."""
        if syntax is None or self.syntax is None or self.syntax.post is None:
            return None
        processed: Tensor = self.syntax.post(shown.detach(), syntax)
        return processed.float()

    def picture_features(self, pictures: Tensor) -> Features:
        """What fusion takes of the pictures of M references, [B, M, 3, s, s] in [0, 1]."""
        assert isinstance(self.g_a, ConvolutionalAnalysis), "fuses"
        number = pictures.shape[1]
        return tuple(each.unflatten(0, (-1, number)) for each in self.g_a.features(pictures.flatten(0, 1)))

    def analyse(self, image: Tensor, features: Features | None = None, g_a: nn.Module | None = None) -> Tensor:
        """g_a, fused with features of references if there are any: [B, 3, H, W] → y [B, C, H/16, W/16].

        g_a: this machine's version of the model's own (`for_inference`).
        """
        transform = self.g_a if g_a is None else g_a
        if features is None or self.fuse_a is None:
            latent: Tensor = transform(image)
            return latent
        fused: Tensor = transform(image, self.fuse_a.with_references(features))
        return fused

    def synthesise(
        self,
        latent: Tensor,
        features: Features | None = None,
        g_s: nn.Module | None = None,
        syntax: Tensor | None = None,
    ) -> Tensor:
        """g_s, likewise: [B, C, H/16, W/16] → [B, 3, H, W], not clamped.

        syntax: numbers [B, n] that change its end; without any it is as if they were all zero.
        """
        transform = self.g_s if g_s is None else g_s
        changes: list[AtScale] = []
        if features is not None and self.fuse_s is not None:
            changes.append(self.fuse_s.with_references(features))
        if syntax is not None:
            assert self.syntax is not None, "only a model with a syntax is given one"
            changes.append(self.syntax.at_scale(syntax))
        image: Tensor = transform(latent, _in_turn(changes)) if changes else transform(latent)
        return image

    def syntax_numbers(self, scaled: Tensor, quality: float) -> Tensor | None:
        """Of a latent [1, C, h, w] in quantisation steps: [1, n], not rounded; None for a model without a syntax."""
        if self.syntax is None:
            return None
        rate = self.gain.rate(quality)
        return self.syntax.numbers(self.prior.scale.relative(scaled, rate), rate)

    def condition(self, latent: Tensor, references: Tensor | None) -> Tensor:
        """CLM and CLS on a latent [B, C, h, w] with references [T, M, C, 16, 16] of its T tiles; identity without any.

        The encoder queries with y and gets y_f; the decoder queries with ŷ_f and gets ŷ (paper §3.3 (4)).
        """
        if references is None or not self.config.conditioning.synthesises:
            return latent
        tiles = split_latent(latent)
        return join_latent(self.synthesis(tiles, self.matching(tiles, references)), *latent.shape[-2:])

    def hyper_latent(self, scaled: Tensor, quality: float | Tensor, references: Tensor | None) -> Tensor:
        """h_a: latent [B, C, h, w] in quantisation steps, and references [T, M, C, 16, 16] → z [B, N, h/4, w/4], not
        rounded.
        """
        return self.prior.hyper_latent(scaled, self.gain.rate(quality), self.prior_references(references))

    def decode(self, features: Tensor, rate: Rate, quantise: Quantise, references: Tensor | None) -> Tensor:
        """The decoded latent [B, C, h, w], in quantisation steps, of hyper features and what `quantise` gives."""
        return self.prior.decode(features, rate, quantise, self.prior_references(references))

    def prior_references(self, references: Tensor | None) -> Tensor | None:
        """References that the prior takes: all or none."""
        return references if self.config.conditioning.informs_prior else None

    def refine(
        self, decoded: Tensor, features: Tensor, quality: float | Tensor, residual: LatentResidual | None = None
    ) -> Tensor:
        """Latent residual prediction (r of §3.3 (3)) and inverse gain: decoded latent [B, C, h, w] → ŷ_f.

        It runs after the last symbol, so ordinary floating point is enough.
        residual: this machine's version of the model's own (`for_inference`).
        """
        normalised = decoded / self.prior.scale.spread(self.gain.rate(quality))
        predict = self.residual if residual is None else residual
        refined: Tensor = decoded + predict(torch.cat([normalised, features], dim=1))
        return refined * self.gain.inverse_gain(quality)

    @torch.no_grad()
    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a model that has the same configuration, up to its conditioning and what g_s is inside.

        What codes without references becomes what it is there, so nothing changes for photos that no reference helps.
        Networks that only code with references, where the other model has none, become copies of those that it codes
        with in any case; their inputs from references say nothing yet.
        """
        for name, own in self.state_dict().items():
            found = next((state[each] for each in self._equivalents(name) if each in state), None)
            if found is not None:
                common = tuple(slice(min(sizes)) for sizes in zip(own.shape, found.shape, strict=True))
                own.zero_()[common] = found[common]

    def _equivalents(self, name: str) -> list[str]:
        """Parameters of another model that do what this one does; the best first."""
        if name.startswith(_PLAIN):
            return [name, name.replace(_PLAIN, _CONDITIONED)]
        if not name.startswith(_CONDITIONED):
            return [name]
        plain = name.replace(_CONDITIONED, _PLAIN)
        return [plain, name] if self.prior.plain is None else [name, plain]

    @torch.no_grad()
    def freeze(self, calibration: Iterable[CalibrationCrop]) -> None:
        """Make the prior path exact and compute the frequency tables; the model cannot be trained afterwards.

        calibration: crops like those that will be coded, over the range of qualities; they set the activation grids.
        Raises ValueError if there is none.
        """
        self.eval()
        layers = list(self._exact_layers())
        for layer in layers:
            layer.observing = True
        crops = 0
        for crop in calibration:
            self(crop.image, crop.references, crop.quality, synthesise=False, features=crop.features)
            if crop.references is not None and self.prior.plain is not None:
                self(crop.image, None, crop.quality, synthesise=False)
            crops += 1
        if not crops:
            raise ValueError("freezing needs at least one calibration crop")
        for layer in layers:
            layer.observing = False
        self.prior.freeze()
        for layer in self._syntax_layers():
            layer.freeze()
        self.gain.freeze()
        if self.config.learns_references:
            self.learned_references.copy_(dequantise(*quantise(self.learned_references)))
        self.latent_tables = gaussian_tables()
        self.hyper_tables = self._hyper_tables()
        self._mark_frozen()

    def restore(self, hyper_tables: FrequencyTables, latent_tables: FrequencyTables) -> None:
        """Switch to exact evaluation with weights and tables that come from a model artifact."""
        self.prior.restore()
        for layer in self._syntax_layers():
            layer.restore()
        self.hyper_tables, self.latent_tables = hyper_tables, latent_tables
        self._mark_frozen()

    def use_channels_last(self) -> None:
        """Lay the weights of everything but exact layers out as convolutions in floating point run fastest."""
        for module in self.floating_layers():
            module.to(memory_format=torch.channels_last)

    def floating_layers(self) -> Iterator[nn.Conv2d]:
        """The convolutions that run in ordinary floating point."""
        return (
            module for module in self.modules() if isinstance(module, nn.Conv2d) and not isinstance(module, ExactConv2d)
        )

    def _syntax_layers(self) -> Iterator[ExactConv2d]:
        return iter(()) if self.syntax is None else self.syntax.exact_layers()

    def _exact_layers(self) -> Iterator[ExactConv2d]:
        yield from self.prior.exact_layers()
        yield from self._syntax_layers()

    def _mark_frozen(self) -> None:
        self.eval()
        self.requires_grad_(False)
        self.frozen = True

    def _hyper_tables(self) -> FrequencyTables:
        support = torch.arange(-_HYPER_RADIUS, _HYPER_RADIUS + 1, dtype=torch.float32)
        likelihood = self.hyper_prior.likelihood(support.expand(self.config.prior.hyper_channels, 1, -1))
        probabilities = likelihood[:, 0].double().numpy().astype(np.float64)
        return FrequencyTables.from_probabilities([trim(row) for row in probabilities])


def _in_turn(changes: list[AtScale]) -> AtScale:
    def all_of_them(scale: int, x: Tensor) -> Tensor:
        for change in changes:
            x = change(scale, x)
        return x

    return all_of_them


def _bits(likelihood: Tensor) -> Tensor:
    """Likelihoods [B, ...] → bits of each crop [B]."""
    return -torch.log2(likelihood).flatten(1).sum(dim=1)
