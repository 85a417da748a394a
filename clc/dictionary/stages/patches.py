"""Stage `crop`: photos → patches, the candidates for dictionary entries and the crops of a training set."""

import logging
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from clc.dictionary.stages.chosen_photos import CHOICE_VERSION, chosen_photos
from clc.errors import DictionaryError, SourceError
from clc.images import PhotoSource, SkippedPhoto, crop_positions, grid_positions, inventory, is_flat, read_photos
from clc.images.hashes import perceptual_hash
from clc.images.patch import encode_patch, pixels_sha256
from clc.images.provenance import IDENTITY_SCHEMA, PhotoIdentity, identity_table
from clc.runtime.remarks import leave_out, remark
from clc.stages.shards import Extent, Shard, Statistics, Workers, run_in_shards
from clc.store import Draft, Kind, Recipe, StageResult, Store

logger = logging.getLogger(__name__)

_PHOTOS_PER_SHARD = 1000

PATCH_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("photo_sha256", pa.string()),
        pa.field("source", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("x", pa.int32()),
        pa.field("y", pa.int32()),
        pa.field("pixels_sha256", pa.string()),
        pa.field("image", pa.binary(), metadata={"clc.identity": "derived"}),
    ]
)


class CropConfig(BaseModel):
    """Which patches are cut from a photo."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=256, ge=16, le=4096, description="pixels along each side")
    per_photo: int = Field(default=10, ge=1, description="patches a photo, at seeded random positions")
    stride: int | None = Field(default=None, ge=1, description="cut a regular grid with this stride instead")
    min_contrast: float = Field(
        default=2.0, ge=0, description="flat patches below this mean local deviation are dropped"
    )
    seed: int = Field(default=0, ge=0)
    meant_for: int | None = Field(
        default=None,
        ge=1,
        description="cut only photos that, as references, save more than they take if so many photos are coded",
    )


def crop(
    photos: PhotoSource, *, config: CropConfig, store: Store, workers: Workers | None = None, force: bool = False
) -> StageResult:
    """Cut patches from every photo, or from those that `meant_for` lets pay; rows `PATCH_SCHEMA`, in the order of the
    photos, and a table of those `photos`.

    Flat patches, photos smaller than a patch and unreadable photos are left out; the statistics count and name them.
    Raises SourceError for a source that cannot be read and DictionaryError if no patch remains, beside what
    `run_in_shards` raises.
    """
    holds = inventory(photos)
    recipe = Recipe(
        stage="crop",
        stage_version=4 if config.meant_for is None else CHOICE_VERSION,
        config=config.model_dump(mode="json"),
        inputs={"photos": f"photos/{holds.fingerprint}"},
    )

    def finish(draft: Draft, statistics: Statistics) -> None:
        too_small, skipped = len(statistics["too_small_photos"]), len(statistics["skipped_photos"])
        flat, kept = statistics["flat_patches"], statistics["patches"]
        if kept == 0:
            raise DictionaryError(
                f"no patch of {config.size} pixels could be cut from {statistics['photos']} photos "
                f"({too_small} too small, {skipped} unreadable, {flat} flat patches); "
                "use larger photos, a smaller size or a lower min_contrast"
            )
        draft.attributes |= {"size": config.size, "stride": config.stride}
        draft.statistics |= statistics
        logger.info(
            "stage=crop photos=%d not_chosen=%d patches=%d flat=%d skipped=%d",
            statistics["photos"],
            statistics["photos_not_chosen"],
            kept,
            flat,
            skipped,
        )

    chosen = None
    if config.meant_for is not None and (force or store.find(recipe) is None):
        chosen = chosen_photos(photos, config.meant_for, config.size)
    result = run_in_shards(
        store,
        Kind.PATCHES,
        recipe,
        _CropPhotos(photos, holds.photos, config, chosen),
        finish,
        extent=Extent(holds.photos, _PHOTOS_PER_SHARD),
        workers=workers,
        force=force,
    )
    _say_left_out(result.version.statistics, photos.spec, config)
    return result


@dataclass(frozen=True)
class _CropPhotos:
    """The patches of a shard's photos. chosen: those that are cut, by name; None for all."""

    photos: PhotoSource
    count: int
    config: CropConfig
    chosen: frozenset[str] | None

    def __call__(self, shard: Shard, draft: Draft) -> Statistics:
        config = self.config
        assert config.meant_for is None or self.chosen is not None, "they are chosen before anything is cut"
        mine = shard.rows(self.count)
        skipped: list[SkippedPhoto] = []
        too_small: list[str] = []
        photo_count = flat = kept = not_chosen = 0
        with draft.table("patches", PATCH_SCHEMA) as table, draft.table("photos", IDENTITY_SCHEMA) as seen:
            for photo in read_photos(self.photos, skipped, mine.start, mine.stop):
                photo_count += 1
                height, width = photo.pixels.shape[:2]
                if min(height, width) < config.size:
                    too_small.append(photo.image_id)
                    leave_out(photo.image_id, _too_small(config), self.photos.spec)
                    continue
                if self.chosen is not None and photo.image_id not in self.chosen:
                    not_chosen += 1
                    continue
                rows = []
                photo_sha256 = pixels_sha256(photo.pixels)
                for x, y in _positions(height, width, photo.image_id, config):
                    pixels = photo.pixels[y : y + config.size, x : x + config.size]
                    if is_flat(pixels, config.min_contrast):
                        flat += 1
                        continue
                    rows.append(
                        {
                            "image_id": photo.image_id,
                            "photo_sha256": photo_sha256,
                            "source": photo.source,
                            "licence": photo.licence,
                            "x": x,
                            "y": y,
                            "pixels_sha256": pixels_sha256(pixels),
                            "image": encode_patch(pixels),
                        }
                    )
                if rows:
                    seen.write(
                        identity_table([PhotoIdentity(photo.image_id, photo_sha256, perceptual_hash(photo.pixels))])
                    )
                    table.write(pa.Table.from_pylist(rows, schema=PATCH_SCHEMA))
                kept += len(rows)
        if photo_count + len(skipped) != len(mine):
            raise SourceError(
                f"{self.photos.spec}: {photo_count + len(skipped)} photos were found where {len(mine)} were counted "
                "before; see that all workers read the same photos and that nobody changes them, then run again"
            )
        return {
            "photos": photo_count,
            "patches": kept,
            "flat_patches": flat,
            "photos_not_chosen": not_chosen,
            "too_small_photos": too_small,
            "skipped_photos": [{"image_id": s.image_id, "reason": s.reason} for s in skipped],
        }


def _say_left_out(statistics: dict[str, Any], source: str, config: CropConfig) -> None:
    """Once more here for what workers in other processes, or a run before this one, have said."""
    for image_id in statistics["too_small_photos"]:
        leave_out(image_id, _too_small(config), source)
    if number := statistics["photos_not_chosen"]:
        what = f"{number} of {statistics['photos']} photos are no references"
        remark(source, f"{what}: they would take more than they save if {config.meant_for:,} photos are coded")
    for photo in statistics["skipped_photos"]:
        leave_out(photo["image_id"], photo["reason"].removeprefix(f"{photo['image_id']}: "), source)


def _too_small(config: CropConfig) -> str:
    return f"smaller than a patch of {config.size} pixels"


def _positions(height: int, width: int, image_id: str, config: CropConfig) -> list[tuple[int, int]]:
    if config.stride is not None:
        return grid_positions(height, width, size=config.size, stride=config.stride)
    return crop_positions(height, width, size=config.size, count=config.per_photo, seed=config.seed, image_id=image_id)
