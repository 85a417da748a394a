"""Sizes of the neural syntax."""

from pydantic import BaseModel, ConfigDict, Field


class PostProcessingConfig(BaseModel):
    """Sizes of the network that a decoder may run over its picture."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=48, ge=8, description="channels, at half of the picture's resolution")


class SyntaxConfig(BaseModel):
    """Sizes of what makes the syntax of a photo, and of what is made from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: int = Field(default=16, ge=1, le=64, description="numbers a photo")
    part: int = Field(default=16, ge=1, description="channels of the latent that they are made of, the first")
    width: int = Field(default=32, ge=8, description="channels inside the generator, and inside their prior")
    hidden: int = Field(default=64, ge=8, description="values between the numbers and the weights made from them")
    post: PostProcessingConfig | None = Field(default=None, description="a network after g_s; without, there is none")
