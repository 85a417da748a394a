"""The mean rate and quality of every codec over the photos that all of them coded."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from clc.evaluation.results import ImageRow
from clc.images.psnr import psnr_of_error, squared_error
from clc.store import Version


@dataclass(frozen=True)
class SummaryRow:
    """Means of one codec at one quality.

    images: photos in the means, the same ones in every row; bpp, psnr (dB), ms_ssim and the seconds: arithmetic means
    of the photos' values; ms_ssim is over the `ms_ssim_images` photos that are large enough for it, whose mean rate is
    ms_ssim_bpp, both nan if none is;
    psnr_of_mean_error (dB): of the mean squared error of all photos, so that bad ones weigh more; peak_memory: bytes,
    the most that any photo took, None if unknown.
    """

    codec: str
    quality: float
    images: int
    bpp: float
    psnr: float
    psnr_of_mean_error: float
    ms_ssim: float
    ms_ssim_bpp: float
    ms_ssim_images: int
    encode_seconds: float
    decode_seconds: float
    peak_memory: int | None


def image_rows(version: Version) -> list[ImageRow]:
    """Table `images` of a `results` version."""
    return [ImageRow(**row) for row in version.table("images").to_pylist()]


def codec_names(version: Version) -> list[str]:
    """The codecs of a `results` version in the order of its tables, those without a single row included."""
    return [codec["name"] for codec in version.attributes["codecs"]]


def common_images(version: Version) -> list[str]:
    """The image_ids that every codec of a `results` version has coded, in the order of the table.

    A codec that has coded none at all does not take the others' means away.
    """
    rows = image_rows(version)
    complete = {(row.image_id, row.codec) for row in rows}
    codecs = {row.codec for row in rows}
    return [
        image_id
        for image_id in dict.fromkeys(row.image_id for row in rows)
        if all((image_id, codec) in complete for codec in codecs)
    ]


def summary(version: Version) -> list[SummaryRow]:
    """Means by codec and quality of a `results` version, in the order of its codecs.

    Only photos that every codec has coded count, so that no codec is spared a hard photo; if there is none, the
    summary is empty.
    """
    common = set(common_images(version))
    order = codec_names(version)

    def place(row: ImageRow) -> tuple[int, float]:
        return order.index(row.codec), row.quality

    rows = sorted((row for row in image_rows(version) if row.image_id in common), key=place)
    return list(means(rows))


def means(rows: Iterable[ImageRow]) -> Iterator[SummaryRow]:
    """A row for each run of rows of one codec and quality."""
    for (codec, quality), group in groupby(rows, key=lambda row: (row.codec, row.quality)):
        members = list(group)
        known = [row for row in members if not math.isnan(row.ms_ssim)]
        yield SummaryRow(
            codec=codec,
            quality=quality,
            images=len(members),
            bpp=_mean([row.bpp for row in members]),
            psnr=_mean([row.psnr for row in members]),
            psnr_of_mean_error=psnr_of_error(_mean([squared_error(row.psnr) for row in members])),
            ms_ssim=_mean([row.ms_ssim for row in known]),
            ms_ssim_bpp=_mean([row.bpp for row in known]),
            ms_ssim_images=len(known),
            encode_seconds=_mean([row.encode_seconds for row in members]),
            decode_seconds=_mean([row.decode_seconds for row in members]),
            peak_memory=max((row.peak_memory for row in members if row.peak_memory is not None), default=None),
        )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
