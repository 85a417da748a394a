"""One codec against another: the differences of their mean curves, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from clc.evaluation.compare.curves import MS_SSIM, PSNR, Metric, photo_curves
from clc.evaluation.compare.interval import Interval, common_photos, interval
from clc.evaluation.compare.rate_difference import (
    QualityDifference,
    RateDifference,
    quality_difference,
    rate_difference,
    why_incomparable,
    why_no_quality_difference,
)
from clc.evaluation.results import ImageRow

NO_COMMON_PHOTO = "no photo was coded by both at all their qualities"


@dataclass(frozen=True)
class Difference:
    """Two codecs' differences by one metric.

    rate, quality: None where the curves allow no answer, for the reasons `gap` and `quality_gap`.
    """

    photos: int
    rate: RateDifference | None
    interval: Interval | None
    quality: QualityDifference | None
    gap: str | None
    quality_gap: str | None


@dataclass(frozen=True)
class Comparison:
    """One codec against another by both metrics, each over the photos that both have coded and it can tell of."""

    test: str
    anchor: str
    psnr: Difference
    ms_ssim: Difference


def compare(anchor: Sequence[ImageRow], test: Sequence[ImageRow], *, names: tuple[str, str]) -> Comparison:
    """Compare the rows of two codecs; names: of the anchor and of the test."""
    return Comparison(
        test=names[1],
        anchor=names[0],
        psnr=difference(anchor, test, PSNR),
        ms_ssim=difference(anchor, test, MS_SSIM),
    )


def difference(anchor: Sequence[ImageRow], test: Sequence[ImageRow], metric: Metric) -> Difference:
    """Compare the rows of two codecs by one metric."""
    photos = common_photos(anchor, test, metric)
    if not photos:
        return Difference(0, None, None, None, NO_COMMON_PHOTO, NO_COMMON_PHOTO)
    curves = [photo_curves(rows, photos, metric).mean() for rows in (anchor, test)]
    return Difference(
        photos=len(photos),
        rate=rate_difference(*curves),
        interval=interval(anchor, test, metric=metric),
        quality=quality_difference(*curves),
        gap=why_incomparable(*curves),
        quality_gap=why_no_quality_difference(*curves),
    )
