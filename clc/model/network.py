"""The network of the codec: transforms, conditional matching and synthesis, gain units and prior (paper §3.3).

In training, `forward` gives the reconstruction and the estimated bits. `freeze` then turns the prior path into exact
integer arithmetic with frozen tables, after which `clc.codec.codec.Codec` reads and writes bitstreams with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from clc.codec.bitstream import MAX_REFERENCES
from clc.codec.references.protocols import dequantise, quantise
from clc.model.conditioning.attention import EntryAttention
from clc.model.conditioning.latent_matching import ConditionalLatentMatching, MatchingConfig, MeanReference
from clc.model.conditioning.latent_synthesis import ConditionalLatentSynthesis, MeanFusion
from clc.model.gain import GainUnit
from clc.model.priors.matching import PriorMatchingConfig, nearest
from clc.model.priors.prior import Prior, PriorConfig, round_half_up, scale_of
from clc.model.priors.tables import SCALE_MIN, FrequencyTables, gaussian_tables, trim
from clc.model.tiles import LATENT_TILE
from clc.model.transforms.convolutional import ConvolutionalConfig, LatentResidual
from clc.model.transforms.tcm import TcmConfig

_HYPER_RADIUS = 512  # ẑ beyond this is escaped; far outside what training produces
_MATCHED = ("h_a.", "prior.slices.", "prior.matches.")  # networks that, where others code apart, only see references
_START_HYPER_SCALE = 2.0  # z is small at first; the usual 10 costs bits that training takes long to win back


class Conditioning(StrEnum):
    """Where the references act."""

    NONE = "none"
    PAPER = "paper"  # CLM and CLS at both ends
    PRIOR = "prior"  # the Gaussian parameters of the slices
    BOTH = "both"

    @property
    def synthesises(self) -> bool:
        """Whether latents are matched with and fused with references (CLM, CLS)."""
        return self in (Conditioning.PAPER, Conditioning.BOTH)

    @property
    def informs_prior(self) -> bool:
        """Whether the prior matches references."""
        return self in (Conditioning.PRIOR, Conditioning.BOTH)


class ReferenceSource(StrEnum):
    """Where references come from."""

    RETRIEVED = "retrieved"  # entries of a dictionary; their indices are transmitted
    LEARNED = "learned"  # parameters of the model, the same for every tile: no indices


class Ablation(StrEnum):
    """A part of `paper` conditioning that is replaced by the plainest thing in its place, to see what it brings."""

    CLM = "clm"  # the mean of the references instead of the match
    CLS = "cls"  # the mean of latent and reference instead of the learned fusion


class ModelConfig(BaseModel):
    """Everything that fixes the shape of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transform: Annotated[ConvolutionalConfig | TcmConfig, Field(discriminator="kind")]
    prior: PriorConfig
    matching: MatchingConfig
    prior_matching: PriorMatchingConfig = PriorMatchingConfig()
    conditioning: Conditioning = Conditioning.PAPER
    reference_source: ReferenceSource = ReferenceSource.RETRIEVED
    references: int = Field(default=3, ge=1, le=MAX_REFERENCES, description="references M per tile")
    without: Ablation | None = None

    @property
    def attends(self) -> bool:
        """Whether the network learns an attention over entries (eq. 1), which retrieval can use."""
        return self.conditioning.synthesises and self.without is not Ablation.CLM

    @property
    def takes_references(self) -> bool:
        """Whether references of a dictionary are retrieved and transmitted."""
        return self.conditioning is not Conditioning.NONE and self.reference_source is ReferenceSource.RETRIEVED

    @property
    def prior_only(self) -> bool:
        """Whether references of a dictionary condition nothing but the prior: an image can then be coded with others,
        or with none, from the same latent.
        """
        return self.conditioning is Conditioning.PRIOR and self.takes_references

    @property
    def learns_references(self) -> bool:
        """Whether the references are parameters, so that there is nothing to retrieve."""
        return self.conditioning is not Conditioning.NONE and self.reference_source is ReferenceSource.LEARNED

    @property
    def codes_apart(self) -> bool:
        """Whether networks of their own code without references."""
        return self.conditioning.informs_prior and self.prior_matching.apart


@dataclass(frozen=True)
class Reconstruction:
    """What `forward` returns."""

    image: Tensor | None  # [B, 3, H, W], not clamped; None if only rates were asked for
    latent_bits: Tensor  # estimated bits of ŷ_f, whole batch
    hyper_bits: Tensor  # estimated bits of ẑ, whole batch


@dataclass(frozen=True)
class CalibrationCrop:
    """One crop that `freeze` measures activations on."""

    image: Tensor  # [1, 3, s, s]
    references: Tensor | None  # [1, M, C, 16, 16]
    quality: float


class CompressionModel(nn.Module):
    """The whole network.

    >>> from clc.model.presets import PRESETS
    >>> model = CompressionModel(PRESETS["tiny"])
    >>> model(torch.rand(1, 3, 256, 256), None, quality=50.0).image.shape
    torch.Size([1, 3, 256, 256])
    """

    hyper_tables: FrequencyTables
    latent_tables: FrequencyTables

    def __init__(self, config: ModelConfig) -> None:
        # Takes longer to import than PyTorch; who only asks whether a model is there need not wait for it.
        from compressai.entropy_models import EntropyBottleneck, GaussianConditional

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
        # The encoder also tells h_a how far the references are, so that ẑ can say how far to trust them.
        self.h_a = config.transform.hyper_analysis(
            config.prior, channels * (2 if config.conditioning.informs_prior else 1)
        )
        if config.codes_apart:
            self.h_a_unmatched = config.transform.hyper_analysis(config.prior, channels)
        self.prior = Prior(config.prior, channels, config.prior_matching if config.conditioning.informs_prior else None)
        self.prior.start_at(config.transform.start().latent_deviation(channels))
        self.residual = LatentResidual(channels + config.prior.feature_channels, config.prior.slice_width, channels)
        if config.learns_references:
            shape = (config.references, channels, LATENT_TILE, LATENT_TILE)
            deviation = config.transform.start().latent_deviation(channels)
            self.learned_references = nn.Parameter(torch.randn(shape) * deviation[:, None, None])
        self.hyper_prior = EntropyBottleneck(config.prior.hyper_channels, init_scale=_START_HYPER_SCALE)
        # ẑ is rounded to whole numbers, without a median of its own per channel, so that it enters h_s exactly.
        self.hyper_prior.quantiles.requires_grad_(False)
        self.gaussian = GaussianConditional(None, scale_bound=SCALE_MIN)
        self.frozen = False

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.gain.log_gain.device

    @property
    def attention(self) -> EntryAttention:
        """The attention over entries (eq. 1) of a network that `attends`."""
        assert isinstance(self.matching, ConditionalLatentMatching)
        return self.matching.attention

    def forward(
        self, image: Tensor, references: Tensor | None, quality: float, synthesise: bool = True
    ) -> Reconstruction:
        """Training pass over tiles.

        image: [B, 3, s, s] in [0, 1], s a multiple of 64 up to 256; references: [B, M, C, 16, 16] or None to code
        without any. A model that learns references uses its own. synthesise: False leaves g_s, half of the work, out.
        """
        if self.config.learns_references:
            references = self.learned_references.expand(len(image), -1, -1, -1, -1)
        latent = self.g_a(image).float()
        # Under autocast only the transforms run in half precision: rates come from differences of large numbers.
        with torch.autocast(latent.device.type, enabled=False):
            rate = self.gain.rate(quality)
            scaled = self.condition(latent, references) * rate.gain
            known = self.prior_references(references)
            z = self.hyper_latent(scaled, quality, known)
            _, hyper_likelihood = self.hyper_prior(z)
            features = self.prior.features(round_half_up(z), rate)
            slices = scaled.split(self.config.prior.slices, dim=1)
            bits: list[Tensor] = []

            def quantise(index: int, mean: Tensor, level: Tensor) -> Tensor:
                _, likelihood = self.gaussian(slices[index], scale_of(level), mean)
                bits.append(_bits(likelihood))
                return round_half_up(slices[index] - mean) + mean

            decoded = self.prior.decode(features, rate, quantise, known)
            latent_bits, hyper_bits = torch.stack(bits).sum(), _bits(hyper_likelihood)
            if not synthesise:
                return Reconstruction(None, latent_bits, hyper_bits)
            restored = self.condition(self.refine(decoded, features, quality), references)
        return Reconstruction(self.g_s(restored).float(), latent_bits, hyper_bits)

    def condition(self, tiles: Tensor, references: Tensor | None) -> Tensor:
        """CLM and CLS on latents of tiles [T, C, 16, 16] with references [T, M, C, 16, 16]; identity without any.

        The encoder queries with y and gets y_f; the decoder queries with ŷ_f and gets ŷ (paper §3.3 (4)).
        """
        if references is None or not self.config.conditioning.synthesises:
            return tiles
        return self.synthesis(tiles, self.matching(tiles, references))

    def hyper_latent(self, scaled: Tensor, quality: float, references: Tensor | None) -> Tensor:
        """h_a: latent [B, C, h, w] in quantisation steps, and the references of `prior_references` → z
        [B, N, h/4, w/4], not rounded.
        """
        rate = self.gain.rate(quality)
        spread = self.prior.spread(rate)
        seen = scaled / spread
        if references is None and self.config.codes_apart:
            unmatched: Tensor = self.h_a_unmatched(seen)
            return unmatched
        if self.config.conditioning.informs_prior:
            difference = torch.zeros_like(seen)
            if references is not None:
                difference = seen - nearest(seen, references * (rate.gain / spread))
            seen = torch.cat([seen, difference], dim=1)
        z: Tensor = self.h_a(seen)
        return z

    def matched_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the networks that only code with references, of a model that `codes_apart`."""
        for name, parameter in self.named_parameters():
            if name.startswith(_MATCHED):
                yield parameter

    def take_matched(self, state: Mapping[str, Tensor]) -> None:
        """Take the networks that only code with references from another model that `codes_apart`, and nothing else."""
        for name, own in self.state_dict().items():
            if name.startswith(_MATCHED):
                own.copy_(state[name])

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a model that has the same configuration, up to its conditioning and what g_s is inside.

        What codes without references becomes what it is there, so nothing changes for photos that no reference helps.
        Networks that only code with references, where the other model has none, become copies of those that it codes
        with in any case; their inputs from references say nothing yet.
        """
        if not self.config.codes_apart:
            apart = [name for name in state if name != _shared_name(name)]
            state = {**state, **{_shared_name(name): state[name] for name in apart}}
        started = self.state_dict()
        for name, own in started.items():
            found = state.get(name, state.get(_shared_name(name)))
            if found is not None:
                common = tuple(slice(min(sizes)) for sizes in zip(own.shape, found.shape, strict=True))
                own.zero_()[common] = found[common]

    def prior_references(self, references: Tensor | None) -> Tensor | None:
        """References that the prior takes: all or none."""
        return references if self.config.conditioning.informs_prior else None

    def refine(
        self, decoded: Tensor, features: Tensor, quality: float, residual: LatentResidual | None = None
    ) -> Tensor:
        """Latent residual prediction (r of §3.3 (3)) and inverse gain: decoded latent [B, C, h, w] → ŷ_f.

        It runs after the last symbol, so ordinary floating point is enough.
        residual: this machine's version of the model's own (`for_inference`).
        """
        normalised = decoded / self.prior.spread(self.gain.rate(quality))
        predict = self.residual if residual is None else residual
        refined: Tensor = decoded + predict(torch.cat([normalised, features], dim=1))
        return refined * self.gain.inverse_gain(quality)

    @torch.no_grad()
    def freeze(self, calibration: Iterable[CalibrationCrop]) -> None:
        """Make the prior path exact and compute the frequency tables; the model cannot be trained afterwards.

        calibration: crops like those that will be coded, over the range of qualities; they set the activation grids.
        Raises ValueError if there is none.
        """
        self.eval()
        layers = list(self.prior.exact_layers())
        for layer in layers:
            layer.observing = True
        crops = 0
        for crop in calibration:
            self(crop.image, crop.references, crop.quality)
            if crop.references is not None and self.config.codes_apart:
                self(crop.image, None, crop.quality)
            crops += 1
        if not crops:
            raise ValueError("freezing needs at least one calibration crop")
        for layer in layers:
            layer.observing = False
        self.prior.freeze()
        self.gain.freeze()
        if self.config.learns_references:
            self.learned_references.copy_(dequantise(*quantise(self.learned_references)))
        self.latent_tables = gaussian_tables()
        self.hyper_tables = self._hyper_tables()
        self._mark_frozen()

    def restore(self, hyper_tables: FrequencyTables, latent_tables: FrequencyTables) -> None:
        """Switch to exact evaluation with weights and tables that come from a model artifact."""
        self.prior.restore()
        self.hyper_tables, self.latent_tables = hyper_tables, latent_tables
        self._mark_frozen()

    def use_channels_last(self) -> None:
        """Lay the weights of everything but the prior path out as convolutions in floating point run fastest."""
        for name, module in self.named_children():
            if name not in ("prior", "hyper_prior", "gaussian", "gain"):
                module.to(memory_format=torch.channels_last)

    def _mark_frozen(self) -> None:
        self.eval()
        self.requires_grad_(False)
        self.frozen = True

    def _hyper_tables(self) -> FrequencyTables:
        support = torch.arange(-_HYPER_RADIUS, _HYPER_RADIUS + 1, dtype=torch.float32)
        grid = support.expand(1, self.config.prior.hyper_channels, -1)
        _, likelihood = self.hyper_prior(grid, training=False)
        probabilities = likelihood[0].double().numpy().astype(np.float64)
        return FrequencyTables.from_probabilities([trim(row) for row in probabilities])


def _shared_name(name: str) -> str:
    """Of the parameter that does, in a model that does not code apart, what this one does without references."""
    return name.replace("h_a_unmatched.", "h_a.").replace("prior.unmatched.", "prior.slices.")


def _bits(likelihood: Tensor) -> Tensor:
    return -torch.log2(likelihood).sum()
