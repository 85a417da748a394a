"""A collection's photos as frames of a video, after the reference photos that our codec's dictionary was made from."""

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from clc.errors import ProfileError
from clc.evaluation.codecs.video import MAX_REFERENCES, FrameCodec, Picture, X265Frame, frame_codecs, nearest
from clc.evaluation.compare.summary import image_rows
from clc.evaluation.measure.metrics import bits_per_pixel, ms_ssim
from clc.evaluation.results import IMAGES_SCHEMA, PANELS_SCHEMA, ImageRow, to_table
from clc.images import Photo, fingerprint, open_source, read_photos
from clc.images.psnr import psnr
from clc.production.profile import Profile
from clc.store import Draft, Kind, Recipe, Store, Version, run_stage

logger = logging.getLogger(__name__)

FRAMES_ANCHOR = X265Frame.name
"""The video codec that all are compared with."""


def check_frames() -> None:
    """Raises ProfileError where the codec that all are compared with is not installed."""
    if reason := X265Frame().why_missing():
        raise ProfileError(f"the experiment compares with a video codec: {reason}")


def with_frames(
    results: Version, profile: Profile, *, store: Store, codecs: Sequence[FrameCodec] | None = None
) -> Version:
    """Results of a profile with rows of video codecs added: what each of its test photos takes as one more frame after
    the `MAX_REFERENCES` reference photos, at most, that look most like it. A codec that is not installed is named as
    missing. Skipped if the store has it.

    codecs: those that are measured. Default: `frame_codecs`.
    Raises what the codecs raise.
    """
    references, tested = open_source(profile.sources.reference), open_source(profile.sources.test)
    chosen = frame_codecs() if codecs is None else codecs
    missing = {codec.name: reason for codec in chosen if (reason := codec.why_missing())}
    able = [codec for codec in chosen if codec.name not in missing]

    def build(draft: Draft) -> None:
        shown = [photo.pixels for photo in read_photos(references, [])]
        coded = {row.image_id for row in image_rows(results)}
        with (
            draft.table("images", IMAGES_SCHEMA) as images,
            draft.table("panels", PANELS_SCHEMA) as panels,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            images.write(results.table("images"))
            panels.write(results.table("panels"))
            for photo in read_photos(tested, []):
                if photo.image_id in coded:
                    before = nearest(photo.pixels, shown, MAX_REFERENCES)
                    tasks = [(codec, quality) for codec in able for quality in codec.qualities]
                    rows = pool.map(partial(_row, photo=photo, before=before), tasks)
                    images.write(to_table(list(rows), IMAGES_SCHEMA))
                    logger.info("stage=frames image_id=%s references=%d", photo.image_id, len(before))
        draft.attributes |= dict(results.attributes)
        draft.attributes["codecs"] = [
            *results.attributes["codecs"],
            *({"name": each.name, "qualities": list(each.qualities), "settings": each.settings} for each in able),
        ]
        draft.statistics |= dict(results.statistics)
        draft.statistics["missing"] = [
            *results.statistics.get("missing", []),
            *({"codec": name, "reason": reason} for name, reason in missing.items()),
        ]

    recipe = Recipe(
        stage="frames",
        stage_version=1,
        config={"codecs": {codec.name: [codec.settings, *codec.qualities] for codec in able}},
        inputs={
            "results": results.ref,
            "references": f"photos/{fingerprint(references)}",
            "photos": f"photos/{fingerprint(tested)}",
        },
    )
    return run_stage(store, Kind.RESULTS, recipe, build).version


def _row(task: tuple[FrameCodec, float], photo: Photo, before: Sequence[Picture]) -> ImageRow:
    """Of a codec at a quality. One program encodes and decodes, beside others: its seconds are together, and rough."""
    codec, quality = task
    height, width = photo.pixels.shape[:2]
    start = time.perf_counter()
    size, decoded = codec.code(photo.pixels, before, quality)
    return ImageRow(
        image_id=photo.image_id,
        codec=codec.name,
        quality=float(quality),
        height=height,
        width=width,
        bytes=size,
        bpp=bits_per_pixel(size, height, width),
        psnr=psnr(photo.pixels, decoded),
        ms_ssim=ms_ssim(photo.pixels, decoded),
        encode_seconds=time.perf_counter() - start,
        decode_seconds=0.0,
    )
