from dataclasses import replace

import pytest

from clc.evaluation.compare.paired import NO_COMMON_PHOTO, compare
from clc.evaluation.results import ImageRow


def rows(codec: str, factor: float, photos: int = 6) -> list[ImageRow]:
    return [
        ImageRow(f"{photo}", codec, step, 100, 100, 0, factor * 0.1 * 2**step, 25.0 + 3 * step, 0.9 + 0.02 * step, 0, 0)
        for photo in range(photos)
        for step in range(4)
    ]


NAMES = ("JPEG", "clc")


def test_a_comparison_tells_rate_quality_and_interval_by_both_metrics():
    compared = compare(rows("JPEG", 1.0), rows("clc", 0.5), names=NAMES)

    assert (compared.anchor, compared.test) == NAMES
    for difference in (compared.psnr, compared.ms_ssim):
        assert difference.rate.mean == pytest.approx(-0.5)
        assert (difference.interval.low, difference.interval.high) == pytest.approx((-0.5, -0.5))
        assert difference.quality.mean > 0.0
        assert (difference.photos, difference.gap) == (6, None)
    assert compared.psnr.quality.mean == pytest.approx(3.0)  # half the bits are one step, and a step is 3 dB


def test_only_photos_that_both_have_coded_count():
    hard = [replace(row, bpp=9 * row.bpp) if row.image_id == "0" else row for row in rows("JPEG", 1.0)]
    without = [row for row in rows("clc", 0.5) if row.image_id != "0"]

    compared = compare(hard, without, names=NAMES)

    assert (compared.psnr.photos, compared.psnr.rate.mean) == (5, pytest.approx(-0.5))


def test_a_point_at_which_a_photo_is_lossless_counts_neither_in_the_mean_nor_in_the_interval():
    lossless = [
        replace(row, ms_ssim=1.0) if (row.image_id, row.quality) == ("0", 3) else row for row in rows("clc", 0.5)
    ]
    found = compare(rows("JPEG", 1.0), lossless, names=NAMES).ms_ssim
    shorter = compare(rows("JPEG", 1.0), [row for row in lossless if row.quality < 3], names=NAMES).ms_ssim
    assert (found.rate.high, found.interval.high) == (shorter.rate.high, shorter.interval.high)


def test_gaps_have_reasons():
    better = [replace(row, psnr=row.psnr + 30.0) for row in rows("JPEG", 1.0)]
    compared = compare(better, rows("clc", 1.0), names=NAMES)

    assert (compared.psnr.rate, compared.psnr.interval) == (None, None)
    assert "less than 0.5 dB in common" in compared.psnr.gap
    assert compared.ms_ssim.rate is not None
    falling = [replace(row, psnr=-row.psnr) for row in rows("JPEG", 1.0)]
    assert "does not rise" in compare(falling, rows("clc", 1.0), names=NAMES).psnr.quality_gap
    apart = compare(rows("JPEG", 100.0), rows("clc", 1.0), names=NAMES).psnr
    assert "less than a factor of 1.2" in apart.quality_gap
    assert compare(rows("JPEG", 1.0), [], names=NAMES).psnr.gap == NO_COMMON_PHOTO
