"""The evaluation stage: photos × codecs × qualities → one `results` artifact.

Every number comes from a whole file that was written and decoded again, never from an estimate.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from clc.codec.codec import Codec
from clc.codec.decisions.effort import EFFORT_MAX
from clc.errors import ClcError, ImageError, ProfileError, SourceError
from clc.evaluation.codecs.builtin import (
    AVIF_QUALITIES,
    CLC_QUALITIES,
    JPEG_QUALITIES,
    OURS,
    WEBP_QUALITIES,
    Avif,
    Clc,
    Encoder,
    ImageCodec,
    Jpeg,
    WebP,
    encoder,
    without_effort,
)
from clc.evaluation.codecs.online import Online
from clc.evaluation.codecs.programs import (
    HEVC_QUALITIES,
    JPEG_XL_QUALITIES,
    VVC_QUALITIES,
    Hevc,
    JpegXl,
    ProgramCodec,
    Vvc,
    why_missing,
)
from clc.evaluation.measure.memory import with_peak_memory
from clc.evaluation.measure.metrics import bits_per_pixel, ms_ssim
from clc.evaluation.measure.overlap import refuse_overlap
from clc.evaluation.report.panels import PatchOf, panel_rows
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, to_table
from clc.images import Photo, PhotoSource, SkippedPhoto, fingerprint, read_photos
from clc.images.provenance import PhotoIdentity
from clc.images.psnr import psnr
from clc.store import Draft, Kind, Recipe, StageResult, Store, canonical_sha256, run_stage

logger = logging.getLogger(__name__)

_STAGE_VERSION = 5

Quality = Annotated[float, Field(ge=1, le=100)]
WholeQuality = Annotated[int, Field(ge=1, le=100)]
Effort = Annotated[int, Field(ge=0, le=EFFORT_MAX)]
VvcQuality = Annotated[int, Field(ge=0, le=63)]


class EvaluationConfig(BaseModel):
    """Which codecs at which qualities, and which pictures to keep."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clc_qualities: tuple[Quality, ...] = Field(default=CLC_QUALITIES, min_length=1)
    efforts: tuple[Effort, ...] = Field(default=(0,), min_length=1, description="of CLC, each measured by itself")
    jpeg_qualities: tuple[WholeQuality, ...] = Field(default=JPEG_QUALITIES, description="empty leaves JPEG out")
    webp_qualities: tuple[WholeQuality, ...] = Field(default=WEBP_QUALITIES, description="empty leaves WebP out")
    avif_qualities: tuple[WholeQuality, ...] = Field(default=AVIF_QUALITIES, description="empty leaves AVIF out")
    jpeg_xl_qualities: tuple[WholeQuality, ...] = Field(default=JPEG_XL_QUALITIES, description="empty leaves it out")
    hevc_qualities: tuple[WholeQuality, ...] = Field(default=HEVC_QUALITIES, description="empty leaves HEVC out")
    vvc_qualities: tuple[VvcQuality, ...] = Field(default=VVC_QUALITIES, description="63 - QP; empty leaves VVC out")
    panel_images: int = Field(default=3, ge=0, le=50, description="photos, from the first, shown as pictures")
    panel_quality: Quality = 40.0
    panel_bpp: float | None = Field(
        default=None, gt=0, description="show the quality whose file is nearest to so many bits per pixel instead"
    )
    always_references: bool = Field(
        default=False, description="use references even where they do not pay, to show them"
    )
    post: bool = Field(default=False, description="decode with the model's post-processing")
    online: Online | None = Field(
        default=None, description="without references, search for each photo: latents, syntax, both, or encoder"
    )
    online_effort: Effort = Field(default=3, description="of that search")
    allow_near_duplicates: bool = Field(
        default=False, description="measure on photos that look like some of the dictionary, as a fixed camera's do"
    )

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What a recipe says of it: nothing of what came later and is not used, so that results stay what they were."""
        unused = {"efforts"} if self.efforts == (0,) else set()
        unused |= set() if self.post else {"post"}
        unused |= {"online", "online_effort"} if self.online is None else set()
        return self.model_dump(mode="json", exclude=unused)

    @field_validator("efforts")
    @classmethod
    def _from_none(cls, efforts: tuple[int, ...]) -> tuple[int, ...]:
        if efforts[0] != 0 or any(second <= first for first, second in pairwise(efforts)):
            raise ValueError("efforts must ascend from 0, each once")
        return efforts

    @field_validator(
        "clc_qualities",
        "jpeg_qualities",
        "webp_qualities",
        "avif_qualities",
        "jpeg_xl_qualities",
        "hevc_qualities",
        "vvc_qualities",
    )
    @classmethod
    def _ascending(cls, qualities: tuple[float, ...]) -> tuple[float, ...]:
        if any(second <= first for first, second in pairwise(qualities)):
            raise ValueError("qualities must ascend, each once")
        return qualities


@dataclass(frozen=True)
class Subject:
    """The codec that is measured; it is opened only if it has to be.

    dictionary_id: None to measure it without references only. open: the codec, and dictionary entry → uint8
    [256, 256, 3], for the pictures.
    """

    model_id: str
    dictionary_id: str | None
    open: Callable[[], tuple[Codec, PatchOf]]


def evaluate(
    *,
    store: Store,
    photos: PhotoSource,
    subject: Subject,
    inputs: Mapping[str, str],
    config: EvaluationConfig,
    seen: Sequence[PhotoIdentity],
    about: Mapping[str, JsonValue] | None = None,
) -> StageResult:
    """Stage: measure a codec, with and without references, and the baselines on every photo.

    A photo that cannot be decoded is skipped; a codec that raises ClcError on a photo has no row for it; an encoder
    that is not installed is not measured. All are named, with the reason, in the statistics `skipped`, `failures` and
    `missing`.

    inputs: what the result depends on, for the recipe: "model", "dictionary" → `Version.ref`; the photos are added.
    seen: the photos of the dictionary and of the training set.
    about: what a reader of the report should know of the inputs, such as the training budget; it must follow from them.
    Raises OverlapError, before anything is measured, for a photo in `seen`; SourceError if no photo can be read;
    ProfileError for an online search with a dictionary.
    """
    if config.online is not None and subject.dictionary_id is not None:
        raise ProfileError("what is searched online is measured without references; leave the dictionary out")
    others = baselines(config)
    ours = OURS if subject.dictionary_id is not None else OURS[1:]

    def build(draft: Draft) -> None:
        refuse_overlap(photos, seen, near_duplicates=not config.allow_near_duplicates)
        codec, patches_of = subject.open()
        dictionary = codec.latents if subject.dictionary_id is not None else None
        always = config.always_references
        online = None if config.online is None else (config.online, config.online_effort)
        own = (
            Clc(codec, name == OURS[0], config.clc_qualities, always, effort, online=online, post=config.post)
            for effort in config.efforts
            for name in ours
        )
        codecs = [*own, *others]
        _measure_all(draft, photos, codecs, config, patches_of)
        draft.statistics["missing"] = [
            {"codec": each.name, "reason": reason} for each in programs(config) if (reason := why_missing(each))
        ]
        draft.attributes |= {
            "model": subject.model_id,
            "dictionary": subject.dictionary_id,
            "dictionary_entries": len(dictionary) if dictionary else 0,
            "dictionary_bytes": codec.lookup.bytes if dictionary else 0,
            "references_per_tile": codec.model.config.references if dictionary else 0,
            "codecs": [
                {"name": each.name, "qualities": list(each.qualities), "settings": each.settings} for each in codecs
            ],
            "about": dict(about or {}),
        }

    recipe = Recipe(
        stage="evaluate",
        stage_version=_STAGE_VERSION,
        config={
            "evaluation": config.identity,
            "codecs": [*ours, *(each.name for each in others)],
            "model": subject.model_id,
            "dictionary": subject.dictionary_id,
            # Results of an earlier, less suspicious run must not stand in for a check against more photos.
            "seen": canonical_sha256(sorted({photo.photo_sha256 for photo in seen})),
        },
        inputs={"photos": f"photos/{fingerprint(photos)}", **inputs},
    )
    return run_stage(store, Kind.RESULTS, recipe, build)


def baselines(config: EvaluationConfig) -> list[ImageCodec]:
    """What `evaluate` compares ours with, in the order of its tables."""
    codecs: list[ImageCodec] = []
    if config.jpeg_qualities:
        codecs.append(Jpeg(config.jpeg_qualities))
    if config.webp_qualities:
        codecs.append(WebP(config.webp_qualities))
    if config.avif_qualities:
        codecs.append(Avif(config.avif_qualities))
    codecs.extend(each for each in programs(config) if not why_missing(each))
    return codecs


def programs(config: EvaluationConfig) -> list[ProgramCodec]:
    """The codecs that are programs of their own, installed or not."""
    configured = (
        JpegXl(config.jpeg_xl_qualities),
        Hevc(config.hevc_qualities),
        Vvc(config.vvc_qualities),
    )
    return [codec for codec in configured if codec.qualities]


def _measure_all(
    draft: Draft, photos: PhotoSource, codecs: list[ImageCodec], config: EvaluationConfig, patches_of: PatchOf
) -> None:
    total = sum(1 for _ in photos.encoded())
    skipped: list[SkippedPhoto] = []
    failures: list[dict[str, str]] = []
    measured_photos = 0
    with draft.table("images", IMAGES_SCHEMA) as images, draft.table("panels", PANELS_SCHEMA) as panels:
        for photo in read_photos(photos, skipped):
            start = time.perf_counter()
            measured = measure_photo(photo, codecs, failures)
            for rows in measured.values():
                images.write(to_table(rows, IMAGES_SCHEMA))
            if measured_photos < config.panel_images:
                able = [each for each in codecs if each.name in measured and without_effort(each.name) is None]
                try:
                    shown = panel_rows(photo, able, config.panel_quality, config.panel_bpp, patch_of=patches_of)
                    panels.write(to_table(shown, PANELS_SCHEMA))
                except ClcError as error:
                    failures.append({"image_id": photo.image_id, "codec": "pictures", "reason": str(error)})
            measured_photos += 1
            logger.info(
                "stage=evaluate photo=%d/%d image_id=%s codecs=%d/%d seconds=%.1f",
                measured_photos + len(skipped), total, photo.image_id, len(measured), len(codecs),
                time.perf_counter() - start,
            )  # fmt: skip
    if not measured_photos:
        raise SourceError(f"{photos.spec}: none of its photos can be decoded; there is nothing to evaluate")
    draft.attributes["photos"] = measured_photos
    draft.statistics |= {
        "source": photos.spec,
        "skipped": [{"image_id": photo.image_id, "reason": photo.reason} for photo in skipped],
        "failures": failures,
    }


def measure_photo(photo: Photo, codecs: list[ImageCodec], failures: list[dict[str, str]]) -> dict[str, list[ImageRow]]:
    """The rows of every codec that codes this photo at all its qualities; the others go to `failures`."""
    measured: dict[str, list[ImageRow]] = {}
    for codec in codecs:
        try:
            measured[codec.name] = measure(photo, codec)
        except ClcError as error:
            logger.warning("stage=evaluate image_id=%s codec=%s failed: %s", photo.image_id, codec.name, error)
            failures.append({"image_id": photo.image_id, "codec": codec.name, "reason": str(error)})
    return measured


def measure(photo: Photo, codec: ImageCodec) -> list[ImageRow]:
    """Code and decode a photo at each of a codec's qualities.

    What these have in common is done once; its seconds and memory count at each.
    Raises what the codec raises, ImageError for a picture of another size.
    """
    start = time.perf_counter()
    encode, memory = with_peak_memory(lambda: encoder(codec, photo.pixels))
    seconds = time.perf_counter() - start
    return [_measure_quality(photo, codec, quality, encode, seconds, memory) for quality in codec.qualities]


def _measure_quality(
    photo: Photo, codec: ImageCodec, quality: float, encode: Encoder, seconds: float, memory: int | None
) -> ImageRow:
    """seconds and memory: what `encode` took before it was told the quality."""
    height, width = photo.pixels.shape[:2]

    def code() -> tuple[bytes, NDArray[np.uint8], float, float]:
        start = time.perf_counter()
        data = encode(quality)
        encoded = time.perf_counter()
        decoded = codec.decode(data)
        return data, decoded, encoded - start, time.perf_counter() - encoded

    (data, decoded, encode_seconds, decode_seconds), coding_memory = with_peak_memory(code)
    if decoded.shape != photo.pixels.shape:
        raise ImageError(f"{codec.name} decodes a picture of {width}×{height} pixels to one of shape {decoded.shape}")
    peak = None  # a program's memory is not ours
    if memory is not None and coding_memory is not None and not isinstance(codec, ProgramCodec):
        peak = max(memory, coding_memory)
    return ImageRow(
        image_id=photo.image_id,
        codec=codec.name,
        quality=float(quality),
        height=height,
        width=width,
        bytes=len(data),
        bpp=bits_per_pixel(len(data), height, width),
        psnr=psnr(photo.pixels, decoded),
        ms_ssim=ms_ssim(photo.pixels, decoded),
        encode_seconds=seconds + encode_seconds,
        decode_seconds=decode_seconds,
        peak_memory=peak,
    )
