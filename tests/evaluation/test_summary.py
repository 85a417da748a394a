import math

import numpy as np
import pytest

from clc.evaluation.summary import common_images, image_rows, summary


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


def test_a_photo_that_one_codec_could_not_code_counts_for_none(run, store, photos_of, picture):
    black = np.zeros((64, 64, 3), np.uint8)
    version = run(store, photos_of({"black": black, "a": picture(0)})).version
    alone = run(store, photos_of({"a": picture(0)})).version

    assert common_images(version) == ["a"]
    assert summary(version) == summary(alone)


def test_there_is_no_summary_without_a_common_photo(run, store, photos_of):
    assert summary(run(store, photos_of({"black": np.zeros((64, 64, 3), np.uint8)})).version) == []


def test_photos_too_small_for_ms_ssim_are_left_out_of_its_mean_only(run, store, photos_of, picture):
    version = run(store, photos_of({"small": picture(0, height=100), "a": picture(1)})).version
    alone = run(store, photos_of({"a": picture(1)})).version

    row, reference = summary(version)[0], summary(alone)[0]
    assert (row.images, row.ms_ssim_images) == (2, 1)
    assert row.ms_ssim == reference.ms_ssim
    only_small = summary(run(store, photos_of({"small": picture(0, height=100)})).version)[0]
    assert math.isnan(only_small.ms_ssim)
