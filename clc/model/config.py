"""What fixes the shape of the network."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clc.model.conditioning.latent_matching import MatchingConfig
from clc.model.limits import MAX_REFERENCES
from clc.model.priors.config import PriorConfig
from clc.model.priors.matching import PriorMatchingConfig
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.model.transforms.tcm import TcmConfig


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
    def two_priors(self) -> bool:
        """Whether what is coded without references has a prior of its own, beside the conditioned one."""
        return self.conditioning.informs_prior and self.prior_matching.apart

    @property
    def learns_references(self) -> bool:
        """Whether the references are parameters, so that there is nothing to retrieve."""
        return self.conditioning is not Conditioning.NONE and self.reference_source is ReferenceSource.LEARNED
