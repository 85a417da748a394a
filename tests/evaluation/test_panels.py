import math

import numpy as np
import pytest

from clc.evaluation.codecs.builtin import Jpeg, WebP, encoder
from clc.evaluation.report.panels import DISPLAY_WIDTH, display, mosaics, quality_of_size, reference_sheet
from clc.images.patch import decode_patch, encode_patch


def test_a_sheet_shows_the_nearest_patches_in_place_and_the_others_below(patch_of):
    entries = np.array([[1, 5, 9], [2, 6, 10]])  # two tiles side by side, the second one cut off

    sheet = reference_sheet(mosaics(entries, 200, 400, patch_of))

    assert sheet.shape == (300, 400, 3)
    assert (sheet[:200, :256] == 20).all()
    assert (sheet[:200, 256:] == 40).all()
    assert [sheet[250, column, 0] for column in (10, 190, 210, 390)] == [100, 120, 180, 200]


def test_a_sheet_of_one_reference_per_tile_is_one_mosaic(patch_of):
    assert reference_sheet(mosaics(np.array([[3]]), 100, 50, patch_of)).shape == (100, 50, 3)


def test_wide_pictures_are_scaled_down_for_display_only(picture):
    assert display(picture(0, height=200, width=2 * DISPLAY_WIDTH)).shape == (100, DISPLAY_WIDTH, 3)
    assert np.array_equal(display(picture(0)), picture(0))


@pytest.mark.parametrize("size", [(20_000, 60), (70, 1), (1, 90)])
def test_pictures_of_any_shape_can_be_kept(size):
    image = np.zeros((*size, 3), np.uint8)
    for shown in (display(image), reference_sheet([image] * 3)):
        assert decode_patch(encode_patch(shown)).shape == shown.shape


def test_the_first_photos_are_kept_as_pictures_of_about_one_size(run, store, photos_of, picture):
    version = run(store, photos_of({"a": picture(0), "b": picture(1)})).version

    rows = version.table("panels").to_pylist()
    assert [(row["image_id"], row["codec"]) for row in rows] == [
        ("a", codec) for codec in ("clc", "clc, no references", "JPEG", "WebP")
    ]
    assert [row["quality"] for row in rows[:2]] == [50, 50]
    assert [row["references"] is None for row in rows] == [False, True, True, True]
    assert np.array_equal(decode_patch(rows[0]["original"]), picture(0))


def test_other_codecs_are_shown_at_the_size_of_ours(picture):
    image = picture(0)
    for codec in (Jpeg(), WebP()):
        encode = encoder(codec, image)
        sizes = [len(encode(quality)) for quality in (37, 38)]
        assert len(encode(quality_of_size(codec, encode, sizes[0]))) == sizes[0]
        assert quality_of_size(codec, encode, 1) == codec.qualities[0]
        assert quality_of_size(codec, encode, 10**9) == codec.qualities[-1]


def test_the_nearer_of_two_sizes_is_taken(picture):
    encode = encoder(Jpeg(), picture(0))
    small, large = (len(encode(quality)) for quality in (40, 60))

    for size in range(small, large, 50):
        shown = quality_of_size(Jpeg(), encode, size)
        error = abs(math.log(len(encode(shown)) / size))
        assert error <= min(abs(math.log(len(encode(shown + step)) / size)) for step in (-1, 1))
