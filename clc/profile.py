"""Profiles: one typed configuration per scale, read from TOML.

A profile is named by a path, or by the name of one that an installed package offers through the entry point
`clc.profiles`.
"""

import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clc.codec.bitstream import TILE_SIZE
from clc.dictionary.cluster import ClusterConfig
from clc.dictionary.features import FeatureConfig
from clc.dictionary.index import IndexConfig
from clc.dictionary.patches import CropConfig
from clc.dictionary.reduce import ReduceConfig
from clc.dictionary.retrieve import RetrievalConfig
from clc.errors import ProfileError
from clc.evaluation.evaluate import EvaluationConfig
from clc.training.loop import TrainingConfig
from clc.training.train import ModelChoice

Model = TypeVar("Model", bound=BaseModel)


class PhotoSources(BaseModel):
    """Where the photos of each role come from, as source specs (`clc.images.open_source`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str = Field(description="photos that the dictionary is built from")
    training: str = Field(description="photos that the codec is trained on")
    test: str = Field(description="photos that the codec is measured on; in neither of the others")


class Profile(BaseModel):
    """The whole main job: photos → dictionary → model → results."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    photos: PhotoSources
    crop: CropConfig
    features: FeatureConfig
    reduce: ReduceConfig
    cluster: ClusterConfig
    index: IndexConfig = IndexConfig()
    training_crop: CropConfig
    retrieval: RetrievalConfig = RetrievalConfig()
    model: ModelChoice = ModelChoice()
    training: TrainingConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.crop.size != TILE_SIZE:
            raise ValueError(f"crop.size must be {TILE_SIZE}, the size of the codec's tiles")
        if self.training_crop.size < TILE_SIZE:
            raise ValueError(f"training_crop.size must be at least {TILE_SIZE}, the size of the codec's tiles")
        if self.cluster.entries < self.model.config.references:
            raise ValueError(
                f"cluster.entries must be at least {self.model.config.references}, the references of a tile"
            )
        return self


def load_profile(reference: str) -> Profile:
    """The profile at a path (ends in .toml), or of a name. Raises ProfileError naming what is wrong with it."""
    if reference.endswith(".toml"):
        path: Traversable = Path(reference)
    else:
        path = _named(reference)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"profile {reference} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"profile {reference} is not valid TOML: {error}") from error
    return validated(Profile, content, f"profile {reference}")


def validated(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """`model` from values. Raises ProfileError with every wrong key or value in one line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or where}: {e['msg']}" for e in error.errors()]
        raise ProfileError(f"{where}: {'; '.join(problems)}") from error


def _named(name: str) -> Traversable:
    offered = {
        file.name.removesuffix(".toml"): file
        for entry in entry_points(group="clc.profiles")
        for file in files(entry.value).iterdir()
        if file.name.endswith(".toml")
    }
    if name not in offered:
        raise ProfileError(
            f"no profile is called {name!r}; use a path that ends in .toml or one of: {', '.join(offered)}"
        )
    return offered[name]
