"""How long and how to train."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from clc.errors import ProfileError
from clc.model.gain import QUALITY_MAX, QUALITY_MIN
from clc.training.objective import MS_SSIM_CROP, Distortion

_ADDED = ("quality_per_crop", "optimiser", "drawing", "returns", "coded_share")
_GONE: dict[str, JsonValue] = {"compile": False}  # torch.compile made a step on a CPU no faster


class Schedule(StrEnum):
    """How the learning rate falls over the budget."""

    COSINE = "cosine"  # to 1/50
    EXPONENTIAL = "exponential"  # to 1/50, as long in every octave: for when the best rate is not known
    HALVING = "halving"  # ×0.5 after each third: the paper's "every 10 epochs" of 30


class Precision(StrEnum):
    """What the transforms are computed in; the rest is in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Part(StrEnum):
    """What learns; the rest stays as it is."""

    ALL = "all"
    CONDITIONED = "conditioned"  # what only codes with references: a prior that has another one beside it, fusions
    FUSION = "fusion"  # the fusions of references into g_a and g_s


class Optimiser(StrEnum):
    """What turns gradients into steps."""

    ADAM = "adam"
    MUON = "muon"  # for convolutions between hidden channels, Adam for the rest


class Drawing(StrEnum):
    """Where crops, qualities and related views are drawn."""

    HOST = "host"  # by this process or loaders, for any number of processes that train
    DEVICE = "device"  # where the model is, which also keeps all photos; for one process and GPU


class TrainingConfig(BaseModel):
    """The recipe of a run. The budget is exactly one of `steps`, `epochs` and `minutes`.

    With a budget in steps or epochs, a run on a CPU is the same whenever it is repeated, killed and resumed or not. One
    in minutes depends on the clock.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int | None = Field(default=None, ge=0, description="0 publishes a start as it is, frozen")
    epochs: float | None = Field(default=None, gt=0, description="as many steps as give every window so many crops")
    minutes: float | None = Field(default=None, gt=0, description="of training, not of waiting while killed")
    batch: int = Field(default=8, ge=1, description="crops a step and device")
    devices: int | None = Field(
        default=None, ge=1, description="batches that a step averages over. Default: one for each process"
    )
    crop: int = Field(default=128, ge=64, le=256, multiple_of=64, description="pixels along each side of a crop")
    qualities: tuple[float, float] = Field(
        default=(QUALITY_MIN, QUALITY_MAX), description="drawn for each batch from this range; two equal ones fix λ"
    )
    quality_per_crop: bool = Field(
        default=False, description="draw a quality for each crop of a batch, not one for all"
    )
    distortion: Distortion = Distortion.MSE
    optimiser: Optimiser = Optimiser.ADAM
    learning_rate: float = Field(default=4e-4, gt=0)
    transform_rate: float = Field(
        default=0.2,
        gt=0,
        description="share of the learning rate that g_a and g_s get: they start as a good linear transform, the prior "
        "as noise",
    )
    schedule: Schedule = Schedule.COSINE
    warm_up: int = Field(default=100, ge=0, description="steps over which the learning rate rises")
    gradient_clip: float = Field(default=0.5, gt=0, description="largest norm of a gradient")
    average: float = Field(
        default=0.998, ge=0, lt=1, description="decay of the moving average of the weights that is published; 0: none"
    )
    precision: Precision = Precision.FLOAT32
    part: Part = Part.ALL
    drawing: Drawing = Drawing.HOST
    returns: int = Field(
        default=3,
        ge=0,
        description="times that a run which diverges goes on from its last snapshot, more slowly, before it stops",
    )
    unconditioned_share: float = Field(default=0.25, ge=0, le=1, description="share of batches without references")
    related_share: float = Field(
        default=0.5, ge=0, le=1, description="share of crops given simulated related references, one or more"
    )
    coded_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of simulated references that the model codes alone first, as decoders have them",
    )
    pattern_share: float = Field(
        default=0.04,
        ge=0,
        le=1,
        description="share of crops that become what photos seldom show: meshes, screens, text, noise",
    )
    refresh_every: int = Field(default=100, ge=1, description="steps between recomputations of the reference latents")
    log_every: int = Field(default=50, ge=1, description="steps between rows of the log")
    validate_every: int = Field(default=1000, ge=1, description="steps between measurements on held-out photos")
    held_out: int = Field(default=8, ge=0, description="photos kept out of training to measure on")
    checkpoint_every: int = Field(default=200, ge=1, description="steps between checkpoints, a minute at most")
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(budget is not None for budget in (self.steps, self.epochs, self.minutes)) != 1:
            raise ValueError("give exactly one budget: steps, epochs or minutes")
        low, high = self.qualities
        if not QUALITY_MIN <= low <= high <= QUALITY_MAX:
            raise ValueError(f"qualities must ascend within {QUALITY_MIN:g} to {QUALITY_MAX:g}")
        if self.part is not Part.ALL and self.unconditioned_share > 0:
            raise ValueError(f"part {self.part} learns from batches with references: set unconditioned_share to 0")
        if self.distortion is Distortion.MS_SSIM and self.crop < MS_SSIM_CROP:
            raise ValueError(f"MS-SSIM has five scales and needs crops of at least {MS_SSIM_CROP} pixels")
        return self

    @property
    def recorded(self) -> dict[str, JsonValue]:
        """What a model says of it. What was added after the first models is named only where it is used, and what has
        gone is named as it was, so that models and recipes from before keep their ids.
        """
        return {**_GONE, **self.model_dump(mode="json", exclude=self._unused)}

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What a recipe says of it. Without patterns, that is what it said before there were any."""
        return {name: value for name, value in self.recorded.items() if name != "pattern_share" or value}

    @property
    def _unused(self) -> set[str]:
        return {name for name in _ADDED if getattr(self, name) == type(self).model_fields[name].default}

    def with_budget(self, *, steps: int | None = None, minutes: float | None = None) -> Self:
        """The same recipe with another budget; this one if none is given. Raises ProfileError if both are."""
        if steps is None and minutes is None:
            return self
        if steps is not None and minutes is not None:
            raise ProfileError("give a budget in steps or in minutes, not both")
        return self.model_copy(update={"steps": steps, "minutes": minutes, "epochs": None})
