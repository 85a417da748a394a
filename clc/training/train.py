"""Stage `train`: crops, assignments and a dictionary version → a frozen model version."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from clc.codec.artifact import write_model
from clc.codec.bitstream import MAX_REFERENCES
from clc.codec.gain import QUALITY_MAX, QUALITY_MIN
from clc.codec.model import CalibrationCrop, CompressionModel, Conditioning, ModelConfig, ReferenceSource
from clc.codec.presets import PRESETS
from clc.codec.tiles import TILE_SIZE, to_tensor
from clc.errors import TrainingError
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage
from clc.training.data import TrainingSet
from clc.training.loop import Trainer, TrainingConfig
from clc.training.references import ReferencePool

logger = logging.getLogger(__name__)

_CALIBRATION_STEPS = 12
LOG_SCHEMA = pa.schema(
    [pa.field(name, pa.float64(), metadata={"clc.identity": "derived"}) for name in ("step", "loss", "bpp", "psnr")]
)


class ModelChoice(BaseModel):
    """Which network to train."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = Field(default="tiny", description=f"one of {', '.join(PRESETS)}")
    conditioning: Conditioning | None = Field(default=None, description="instead of the preset's")
    reference_source: ReferenceSource | None = Field(default=None, description="instead of the preset's")
    references: int | None = Field(default=None, ge=1, le=MAX_REFERENCES, description="instead of the preset's")

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(f"unknown preset; use one of {', '.join(PRESETS)}")
        return preset

    @property
    def config(self) -> ModelConfig:
        """The preset with what was given instead."""
        return PRESETS[self.preset].model_copy(update=self.model_dump(exclude={"preset"}, exclude_none=True))


def train(
    crops: Version,
    assignments: Version,
    dictionary: Version,
    *,
    choice: ModelChoice,
    config: TrainingConfig,
    store: Store,
    checkpoints: Path,
    force: bool = False,
) -> StageResult:
    """Train a model against exactly this dictionary version, freeze it and publish it.

    checkpoints: local folder; an interrupted run of the same recipe continues from there.
    Raises TrainingError for inputs that do not belong together.
    """
    if dictionary.ref not in assignments.manifest.recipe.inputs.values():
        raise TrainingError(f"{assignments} was not retrieved from {dictionary}; run the assignments stage for it")
    model_config = choice.config
    if dictionary.attributes["patch_size"] != TILE_SIZE:
        raise TrainingError(
            f"{dictionary} has entries of {dictionary.attributes['patch_size']} pixels; the codec needs {TILE_SIZE}"
        )
    references = assignments.attributes["references"]
    if references != model_config.references:
        raise TrainingError(f"{assignments} has {references} references a crop, the preset {model_config.references}")
    recipe = Recipe(
        stage="train",
        stage_version=1,
        config={"model": model_config.model_dump(mode="json"), "training": config.model_dump(mode="json")},
        inputs={"crops": crops.ref, "assignments": assignments.ref, "dictionary": dictionary.ref},
    )

    def build(draft: Draft) -> None:
        torch.manual_seed(config.seed)
        trainer = Trainer(
            model=CompressionModel(model_config),
            data=TrainingSet(crops, assignments),
            pool=ReferencePool(dictionary),
            config=config,
            checkpoint=checkpoints / f"{recipe.hash}.safetensors",
            run=recipe.hash,
        )
        log = trainer.train()
        trainer.model.freeze(_calibration(trainer))
        write_model(draft, trainer.model)
        with draft.table("log", LOG_SCHEMA) as table:
            table.write(pa.Table.from_pylist(log, schema=LOG_SCHEMA))
        draft.attributes |= {
            "dictionary": dictionary.id,
            "preset": choice.preset,
            "training": config.model_dump(mode="json"),
            "retrieval": assignments.attributes["retrieval"],
        }
        draft.statistics |= {"final": log[-1], "crops": len(trainer.data)}

    result = run_stage(store, Kind.MODEL, recipe, build, force=force)
    (checkpoints / f"{recipe.hash}.safetensors").unlink(missing_ok=True)  # only after the model is published
    return result


def _calibration(trainer: Trainer) -> Iterator[CalibrationCrop]:
    """Training batches, crop by crop, with qualities spread over the whole range."""
    trainer.model.eval()
    trainer.pool.refresh(trainer.model)
    for step, quality in enumerate(np.linspace(QUALITY_MIN, QUALITY_MAX, _CALIBRATION_STEPS)):
        batch, references = trainer.batch(trainer.config.steps + step)
        for row, image in enumerate(to_tensor(batch.pixels)):
            own = None if references is None else references[row : row + 1]
            yield CalibrationCrop(image[None], own, float(quality))
