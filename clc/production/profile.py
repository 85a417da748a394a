"""Profiles: one typed configuration per scale, read from TOML (`clc.runtime.profile_file`)."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clc.codec.references.artifact import ReferencesConfig
from clc.dictionary.retrieval.queries import RetrievalConfig
from clc.dictionary.stages.cluster import ClusterConfig
from clc.dictionary.stages.features import FeatureConfig
from clc.dictionary.stages.index import IndexConfig
from clc.dictionary.stages.patches import CropConfig
from clc.dictionary.stages.reduce import ReduceConfig
from clc.errors import ProfileError
from clc.evaluation.measure.evaluate import EvaluationConfig
from clc.model.limits import TILE_SIZE
from clc.production.archive_config import ArchiveConfig
from clc.production.drift import DriftConfig
from clc.production.gate import GateConfig
from clc.runtime.profile_file import read_profile, validated
from clc.training.job import TrainingProfile
from clc.training.launch import TrainerConfig


class PhotoSources(BaseModel):
    """Where the photos of each role come from, as source specs (`clc.images.open_source`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str = Field(description="photos that the dictionary is built from")
    training: str = Field(description="photos that the codec is trained on")
    test: str = Field(description="photos that the codec is measured on; in neither of the others")


class Profile(TrainingProfile):
    """The whole main job: photos → dictionary → model → results.

    One without `photos` serves whatever photos a command names; one without `archive` packs none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: PhotoSources | None = None
    crop: CropConfig = CropConfig()
    features: FeatureConfig = FeatureConfig()
    reduce: ReduceConfig = ReduceConfig()
    cluster: ClusterConfig = ClusterConfig()
    index: IndexConfig = IndexConfig()
    references: ReferencesConfig = ReferencesConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    drift: DriftConfig = DriftConfig()
    gate: GateConfig = GateConfig()
    archive: ArchiveConfig | None = None

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.crop.size != TILE_SIZE:
            raise ValueError(f"crop.size must be {TILE_SIZE}, the size of the codec's tiles")
        if self.cluster.entries is not None and self.cluster.entries < self.model.config.references:
            raise ValueError(
                f"cluster.entries must be at least {self.model.config.references}, the references of a tile"
            )
        return self

    @property
    def sources(self) -> PhotoSources:
        """The photos. Raises ProfileError if the profile names none."""
        if self.photos is None:
            raise ProfileError(f"profile {self.name} names no photos; add [photos] with reference, training and test")
        return self.photos

    def required_archive(self) -> ArchiveConfig:
        """What is packed. Raises ProfileError if the profile says nothing of archives."""
        if self.archive is None:
            raise ProfileError(f"profile {self.name} packs no photos; add [archive] with source and folder")
        return self.archive


def load_profile(reference: str) -> Profile:
    """The profile at a path (ends in .toml), or of a name. Raises ProfileError naming what is wrong with it."""
    return validated(Profile, read_profile(reference), f"profile {reference}")
