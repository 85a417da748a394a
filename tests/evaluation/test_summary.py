import math

import numpy as np
import pytest

from clc.evaluation.compare.summary import common_images, image_rows, means, summary
from clc.evaluation.results import ImageRow


def test_means_over_photos(run, store, photos_of, picture):
    version = run(store, photos_of({"a": picture(0), "b": picture(1)})).version

    rows = summary(version)

    assert [(row.codec, row.quality) for row in rows] == [
        ("clc", 30), ("clc", 70), ("clc, no references", 30), ("clc, no references", 70),
        ("JPEG", 20), ("JPEG", 80), ("WebP", 20), ("WebP", 80),
    ]  # fmt: skip
    jpeg = [row for row in image_rows(version) if (row.codec, row.quality) == ("JPEG", 80)]
    assert (rows[5].images, rows[5].ms_ssim_images) == (2, 2)
    assert rows[5].bpp == pytest.approx(np.mean([row.bpp for row in jpeg]))
    assert rows[5].psnr == pytest.approx(np.mean([row.psnr for row in jpeg]))
    assert rows[5].ms_ssim == pytest.approx(np.mean([row.ms_ssim for row in jpeg]))
    assert rows[5].encode_seconds == pytest.approx(np.mean([row.encode_seconds for row in jpeg]))
    assert rows[5].peak_memory == max(row.peak_memory for row in jpeg)


def test_psnr_of_the_mean_error_is_that_of_all_pixels_together():
    rows = [ImageRow(name, "JPEG", 50, 8, 8, 8, 1.0, psnr, 1.0, 0.0, 0.0) for name, psnr in (("a", 20.0), ("b", 40.0))]

    (row,) = means(rows)

    assert row.psnr == 30.0
    assert row.psnr_of_mean_error == pytest.approx(10 * math.log10(2 / (10**-2 + 10**-4)))
    assert row.peak_memory is None


def test_a_codec_that_coded_nothing_does_not_take_the_means_of_the_others(run, store, photos_of):
    version = run(store, photos_of({"black": np.zeros((64, 64, 3), np.uint8)})).version  # clc finds no references

    assert {row.codec for row in summary(version)} == {"clc, no references", "JPEG", "WebP"}


@pytest.mark.medium
def test_a_photo_that_one_codec_could_not_code_counts_for_none(run, store, photos_of, picture):
    black = np.zeros((64, 64, 3), np.uint8)
    version = run(store, photos_of({"black": black, "a": picture(0)})).version
    alone = run(store, photos_of({"a": picture(0)})).version

    assert common_images(version) == ["a"]
    assert [(row.codec, row.images, row.bpp, row.psnr) for row in summary(version)] == [
        (row.codec, row.images, row.bpp, row.psnr) for row in summary(alone)
    ]


@pytest.mark.medium
def test_photos_too_small_for_ms_ssim_are_left_out_of_its_mean_only(run, store, photos_of, picture):
    version = run(store, photos_of({"small": picture(0, height=100), "a": picture(1)})).version
    alone = run(store, photos_of({"a": picture(1)})).version

    row, reference = summary(version)[0], summary(alone)[0]
    assert (row.images, row.ms_ssim_images) == (2, 1)
    assert (row.ms_ssim, row.ms_ssim_bpp) == (reference.ms_ssim, reference.bpp)
    only_small = summary(run(store, photos_of({"small": picture(0, height=100)})).version)[0]
    assert math.isnan(only_small.ms_ssim)
