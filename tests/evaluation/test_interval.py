import math
import random
from dataclasses import replace

import numpy as np
import pytest

from clc.evaluation.compare.curves import MS_SSIM, PSNR
from clc.evaluation.compare.interval import MIN_PHOTOS, interval
from clc.evaluation.compare.rate_difference import rate_difference
from clc.evaluation.compare.summary import means
from clc.evaluation.results import ImageRow

QUALITIES = (10.0, 30.0, 60.0, 90.0)


def rows(codec: str, factors: list[float]) -> list[ImageRow]:
    """One photo for each factor, which multiplies its bits; harder photos need more."""
    return [
        ImageRow(
            f"photo {number}", codec, quality, 100, 100, 0,
            bpp=factor * (1.0 + 0.1 * number) * 0.1 * 2**step, psnr=26.0 + 3.0 * step, ms_ssim=0.9 + 0.03 * step,
            encode_seconds=0.0, decode_seconds=0.0,
        )
        for number, factor in enumerate(factors)
        for step, quality in enumerate(QUALITIES)
    ]  # fmt: skip


def spread(width: float, photos: int = 12) -> list[float]:
    return [0.8 + width * math.sin(number) for number in range(photos)]


ANCHOR = rows("JPEG", [1.0] * 12)


def mean_difference(test: list[ImageRow]) -> float:
    curves = [
        [(row.bpp, row.psnr) for row in means(sorted(each, key=lambda row: row.quality))] for each in (ANCHOR, test)
    ]
    return rate_difference(*curves).mean


def test_the_interval_holds_the_difference_of_the_mean_curves():
    test = rows("clc", spread(0.1))
    found = interval(ANCHOR, test)

    assert found.low < mean_difference(test) < found.high
    assert (found.level, found.photos) == (0.95, 12)


def test_photos_that_agree_leave_no_doubt_and_photos_that_differ_leave_more():
    sure, doubtful, more_doubtful = (interval(ANCHOR, rows("clc", spread(width))) for width in (0.0, 0.1, 0.2))

    assert (sure.low, sure.high) == pytest.approx((-0.2, -0.2))
    assert 0.0 < doubtful.high - doubtful.low < more_doubtful.high - more_doubtful.low


def test_the_interval_is_as_wide_as_theory_says():
    """The ratio of two means over photos of one size: its standard error is that of the factors' mean."""
    factors = list(np.random.default_rng(0).normal(0.8, 0.1, 200))
    alike = [replace(row, bpp=0.1 * 2 ** QUALITIES.index(row.quality)) for row in rows("JPEG", [1.0] * 200)]
    test = [replace(row, bpp=row.bpp * factors[int(row.image_id.split()[1])]) for row in alike]

    found = interval(alike, test, draws=2000)

    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(factors) / math.sqrt(200), rel=0.1)


def test_a_lower_level_is_narrower():
    test = rows("clc", spread(0.1))
    wide, narrow = interval(ANCHOR, test), interval(ANCHOR, test, level=0.5)

    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_seed_decides_and_the_order_of_rows_does_not():
    test = rows("clc", spread(0.1))
    shuffled = random.Random(0).sample(test, len(test))

    assert interval(ANCHOR, shuffled) == interval(ANCHOR, test)
    assert interval(ANCHOR, test, seed=1) != interval(ANCHOR, test)


def test_ms_ssim_has_intervals_too():
    found = interval(ANCHOR, rows("clc", spread(0.1)), metric=MS_SSIM)

    assert found.low < -0.1 < found.high + 0.1
    assert found.low < found.high


@pytest.mark.parametrize("metric", [PSNR, MS_SSIM])
def test_a_point_at_which_a_photo_is_lossless_is_left_out(metric):
    def lossless(row):
        best = (row.image_id, row.quality) == ("photo 0", 90.0)
        return replace(row, psnr=math.inf, ms_ssim=1.0) if best else row

    test = [lossless(row) for row in rows("clc", spread(0.1))]
    less = [row for row in rows("clc", spread(0.1)) if row.quality != 90.0]
    assert interval(ANCHOR, test, metric=metric) == interval(ANCHOR, less, metric=metric)


def test_only_photos_that_both_coded_at_every_quality_count():
    test = rows("clc", spread(0.1))
    gappy = [row for row in test if (row.image_id, row.quality) != ("photo 3", 90.0)]
    without = [row for row in test if row.image_id != "photo 3"]

    assert interval(ANCHOR, gappy) == interval(ANCHOR, without)
    assert interval(ANCHOR, gappy).photos == 11


def test_photos_that_are_too_small_for_a_metric_do_not_count_for_it():
    test = [replace(row, ms_ssim=math.nan) if row.image_id == "photo 0" else row for row in rows("clc", spread(0.1))]

    assert interval(ANCHOR, test, metric=MS_SSIM).photos == 11


def test_there_is_no_interval_of_too_few_photos():
    assert interval(ANCHOR, rows("clc", spread(0.1, MIN_PHOTOS))) is not None
    assert interval(ANCHOR, rows("clc", spread(0.1, MIN_PHOTOS - 1))) is None


def test_there_is_no_interval_where_curves_cannot_be_compared():
    better = [replace(row, psnr=row.psnr + 30.0) for row in rows("clc", spread(0.1))]

    assert interval(ANCHOR, better) is None
