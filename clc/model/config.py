"""What fixes the shape of the network."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from clc.model.conditioning.fusion import FusionConfig
from clc.model.conditioning.latent_matching import MatchingConfig
from clc.model.limits import MAX_REFERENCES
from clc.model.priors.config import PriorConfig
from clc.model.priors.matching import PriorMatchingConfig
from clc.model.syntax.config import SyntaxConfig
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.model.transforms.dynamic import DynamicConfig
from clc.model.transforms.tcm import TcmConfig


class Conditioning(StrEnum):
    """Where the references act."""

    NONE = "none"
    PAPER = "paper"  # CLM and CLS at both ends
    PRIOR = "prior"  # the Gaussian parameters of the slices
    BOTH = "both"
    FUSED = "fused"  # the Gaussian parameters, and g_a and g_s at three scales

    @property
    def synthesises(self) -> bool:
        """Whether latents are matched with and fused with references (CLM, CLS)."""
        return self in (Conditioning.PAPER, Conditioning.BOTH)

    @property
    def informs_prior(self) -> bool:
        """Whether the prior matches references."""
        return self in (Conditioning.PRIOR, Conditioning.BOTH, Conditioning.FUSED)


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

    transform: Annotated[ConvolutionalConfig | TcmConfig | DynamicConfig, Field(discriminator="kind")]
    prior: PriorConfig
    matching: MatchingConfig
    prior_matching: PriorMatchingConfig = PriorMatchingConfig()
    conditioning: Conditioning = Conditioning.PAPER
    fusion: FusionConfig = FusionConfig()
    reference_source: ReferenceSource = ReferenceSource.RETRIEVED
    references: int = Field(default=3, ge=1, le=MAX_REFERENCES, description="references M per tile")
    without: Ablation | None = None
    syntax: SyntaxConfig | None = Field(default=None, description="numbers a photo that change the end of g_s")

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leaves fusion and syntax out where there is none: recipes from before there was any stay the same."""
        values: dict[str, object] = serialise(self)
        if not self.fuses:
            values.pop("fusion", None)
        if self.syntax is None:
            values.pop("syntax", None)
        return values

    @model_validator(mode="after")
    def _has_scales_to_fuse_at(self) -> Self:
        if self.fuses and not isinstance(self.transform, ConvolutionalConfig):
            raise ValueError("conditioning 'fused' takes convolutional transforms")
        if self.fuses and self.reference_source is ReferenceSource.LEARNED:
            raise ValueError("conditioning 'fused' takes references that are pictures; learned ones are none")
        return self

    @model_validator(mode="after")
    def _has_layers_for_the_syntax(self) -> Self:
        if self.syntax is None:
            return self
        if not isinstance(self.transform, ConvolutionalConfig):
            raise ValueError("a syntax takes convolutional transforms")
        if self.syntax.part > self.transform.latent_channels:
            raise ValueError(f"a latent of {self.transform.latent_channels} channels has no first {self.syntax.part}")
        return self

    @property
    def fuses(self) -> bool:
        """Whether references' pictures act on the transforms, at three scales."""
        return self.conditioning is Conditioning.FUSED

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
    def references_optional(self) -> bool:
        """Whether what is coded without references is coded as well as by a model that knows none."""
        return self.conditioning in (Conditioning.PRIOR, Conditioning.FUSED) and self.takes_references

    @property
    def two_priors(self) -> bool:
        """Whether what is coded without references has a prior of its own, beside the conditioned one."""
        return self.conditioning.informs_prior and self.prior_matching.apart

    @property
    def learns_references(self) -> bool:
        """Whether the references are parameters, so that there is nothing to retrieve."""
        return self.conditioning is not Conditioning.NONE and self.reference_source is ReferenceSource.LEARNED
