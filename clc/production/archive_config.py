"""What a profile packs, and where its archives lie."""

from pydantic import BaseModel, ConfigDict, Field


class ArchiveConfig(BaseModel):
    """What a profile's archives are made of, and where they lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="photos to pack, as a source spec; those that are in an archive already are not")
    folder: str = Field(description="where the archives lie: a path, or a URL that fsspec knows")
    quality: float = Field(default=50.0, ge=1, le=100, description="what photos are coded at")
    effort: int = Field(default=0, ge=0, description="how long the encoder searches")
    cron: str = Field(default="0 * * * *", description="when new photos are looked for")
