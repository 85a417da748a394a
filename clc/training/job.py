"""What to train, on what: the part of a profile that training reads, and the job that it makes with versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from clc.errors import TrainingError
from clc.images import PhotoSource, fingerprint, open_source
from clc.images.sources.combined import CombinedPhotos
from clc.model.conditioning.fusion import FusionConfig
from clc.model.config import Ablation, Conditioning, ModelConfig, ReferenceSource
from clc.model.limits import MAX_REFERENCES
from clc.model.presets import PRESETS
from clc.model.syntax.config import SyntaxConfig
from clc.model.tiles import TILE_SIZE
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.runtime.profile_file import read_profile, validated
from clc.store import Recipe, Version
from clc.training.config import Part, TrainingConfig
from clc.training.start import Start, config_of


class AdaptedPreset(BaseModel):
    """Which network to train: a preset, with what is given instead of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = Field(default="tiny", description=f"one of {', '.join(PRESETS)}")
    conditioning: Conditioning | None = Field(default=None, description="instead of the preset's")
    reference_source: ReferenceSource | None = Field(default=None, description="instead of the preset's")
    references: int | None = Field(default=None, ge=1, le=MAX_REFERENCES, description="instead of the preset's")
    without: Ablation | None = Field(default=None, description="a part of the conditioning to leave out")
    fusion: FusionConfig | None = Field(default=None, description="instead of the preset's")
    transform: dict[str, JsonValue] | None = Field(
        default=None, description="what differs in the transforms; with another `kind`, all of their fields"
    )
    prior: dict[str, JsonValue] | None = Field(default=None, description="what differs in the sizes of the prior")
    syntax: SyntaxConfig | None = Field(default=None, description="numbers a photo that change the end of g_s")

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(f"unknown preset; use one of {', '.join(PRESETS)}")
        return preset

    @property
    def config(self) -> ModelConfig:
        """The preset with what was given instead."""
        own = PRESETS[self.preset].model_dump()
        given = self.model_dump(exclude={"preset", "transform", "prior"}, exclude_none=True)
        transform, prior = self.transform or {}, self.prior or {}
        if transform.get("kind", own["transform"]["kind"]) == own["transform"]["kind"]:
            transform = own["transform"] | transform
        return ModelConfig.model_validate(own | given | {"transform": transform, "prior": own["prior"] | prior})

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _ = self.config
        return self


class TrainingProfile(BaseModel):
    """What training reads of a profile; it ignores the other tables, which need libraries that training does not."""

    model_config = ConfigDict(frozen=True)

    name: str
    model: AdaptedPreset = AdaptedPreset()
    training: TrainingConfig


def read_training_profile(reference: str) -> TrainingProfile:
    """That of the profile at a path (ends in .toml), or of a name. Raises ProfileError naming what is wrong with it."""
    return validated(TrainingProfile, read_profile(reference), f"profile {reference}")


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what.

    assignments, dictionary: for a model that takes references from a dictionary, and only for one.
    start: a model of the same network, up to its conditioning, whose weights training starts from.
    """

    photos: PhotoSource
    network: AdaptedPreset
    config: TrainingConfig
    assignments: Version | None = None
    dictionary: Version | None = None
    start: Start | None = None

    @classmethod
    def of_profile(
        cls,
        profile: TrainingProfile,
        photos: Sequence[str],
        *,
        assignments: Version | None = None,
        dictionary: Version | None = None,
        start: Start | None = None,
    ) -> "TrainingJob":
        """With the photos of source specs. Raises SourceError for a spec that is wrong."""
        source = CombinedPhotos([open_source(spec) for spec in photos])
        return cls(source, profile.model, profile.training, assignments, dictionary, start)

    def check(self) -> None:
        """Raises TrainingError for inputs that do not belong together."""
        network = self.network.config
        if self.start is not None and not continues(config_of(self.start), network):
            raise TrainingError(
                f"{self.start} is another network than the one to train; start from a model of the same preset"
            )
        if self.config.steps == 0 and self.start is None:
            raise TrainingError(
                "a budget of 0 steps publishes a start as it is; name one (--from), or train some steps"
            )
        if self.config.part is Part.FUSION and (self.start is None or not _adds_fusion(config_of(self.start), network)):
            raise TrainingError(
                "training fusions alone needs a model to start from (--from) whose references condition its prior, and "
                "the same network with conditioning fused in the profile's [model] table"
            )
        alone = network.two_priors and network.references_optional
        if self.config.part is Part.CONDITIONED and (self.start is None or not alone):
            raise TrainingError(
                "training the conditioned prior alone needs a model to start from (--from), of a preset that has "
                "another prior beside it and lets references condition the prior only, or fuses"
            )
        if not network.takes_references:
            if self.dictionary is not None or self.assignments is not None:
                raise TrainingError(
                    f"a model with conditioning {network.conditioning} and {network.reference_source} references takes "
                    "none from a dictionary; leave dictionary and assignments out"
                )
            return
        if self.dictionary is None or self.assignments is None:
            raise TrainingError(
                f"a model with conditioning {network.conditioning} needs a dictionary and the assignments from it; "
                "build one with `clc dictionary build`, or train with conditioning none"
            )
        if self.dictionary.ref not in self.assignments.manifest.recipe.inputs.values():
            raise TrainingError(
                f"{self.assignments} was not retrieved from {self.dictionary}; run the assignments stage for it"
            )
        if self.dictionary.attributes["patch_size"] != TILE_SIZE:
            raise TrainingError(
                f"{self.dictionary} has entries of {self.dictionary.attributes['patch_size']} pixels; "
                f"the codec needs {TILE_SIZE}"
            )
        references = self.assignments.attributes["references"]
        if references != network.references:
            raise TrainingError(
                f"{self.assignments} has {references} references a window, the network takes {network.references}"
            )

    @property
    def recipe(self) -> Recipe:
        """Equal recipes are the same work."""
        inputs = {"photos": f"photos/{fingerprint(self.photos)}"}
        versions: dict[str, Start | None] = {
            "assignments": self.assignments,
            "dictionary": self.dictionary,
            "start": self.start,
        }
        inputs |= {role: version.ref for role, version in versions.items() if version is not None}
        return Recipe(
            stage="train",
            stage_version=5,
            config={
                "model": self.network.config.model_dump(mode="json"),
                "training": self.config.identity,
            },
            inputs=inputs,
        )


def _adds_fusion(start: ModelConfig, network: ModelConfig) -> bool:
    """Whether a network is another with fusions, and no other part that has not learned."""
    fused = {"conditioning": Conditioning.FUSED, "fusion": network.fusion}
    return start.conditioning in (Conditioning.PRIOR, Conditioning.FUSED) and start.model_copy(update=fused) == network


def continues(start: ModelConfig, network: ModelConfig) -> bool:
    """Whether a network can start from the weights of another: where references condition it may differ, and what the
    blocks of g_s are like inside; of a model without conditioning, also which references, and how many.
    """
    free: dict[str, object] = {
        "conditioning": network.conditioning,
        "prior_matching": network.prior_matching,
        "fusion": network.fusion,
        "syntax": network.syntax,
    }
    if start.conditioning is Conditioning.NONE:
        free |= {name: getattr(network, name) for name in ("references", "reference_source", "matching", "without")}
    if isinstance(start.transform, ConvolutionalConfig) and isinstance(network.transform, ConvolutionalConfig):
        inside = {"synthesis_hidden": network.transform.synthesis_hidden}
        free["transform"] = start.transform.model_copy(update=inside)
    return start.model_copy(update=free) == network
