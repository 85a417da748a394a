"""Sizes of the prior path."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

STAGES = (1, 2, 4)
"""Into how many stages the positions of a 2×2 cell can be divided."""


class PriorConfig(BaseModel):
    """Sizes of the hyperprior and of the context model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hyper_channels: int = Field(ge=8, description="channels of the hyper-latent z")
    hyper_width: int = Field(ge=8, description="channels inside h_a and h_s, and of the hyper features")
    slices: tuple[int, ...] = Field(min_length=1, description="channels of each group of the context model")
    stages: tuple[int, ...] | None = Field(
        default=None, description="spatial stages of each slice, 1, 2 or 4; without, slices know nothing of themselves"
    )
    slice_width: int = Field(ge=8, description="channels inside each slice network")

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leaves stages out where there are none: recipes from before there were any stay the same."""
        values: dict[str, object] = serialise(self)
        if self.stages is None:
            values.pop("stages", None)
        return values

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.stages is None:
            return self
        if len(self.stages) != len(self.slices):
            raise ValueError(f"{len(self.stages)} stages for {len(self.slices)} slices; give one number for each slice")
        wrong = [number for number in self.stages if number not in STAGES]
        if wrong:
            raise ValueError(f"a 2×2 cell has 1, 2 or 4 stages, not {wrong[0]}")
        return self

    @property
    def feature_channels(self) -> int:
        """Channels of the hyper features: those of h_s, and one that says the rate."""
        return self.hyper_width + 1
