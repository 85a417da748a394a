import numpy as np

from clc.evaluation.panels import DISPLAY_WIDTH, display, reference_sheet
from clc.evaluation.summary import image_rows
from clc.images.patch import decode_patch


def test_a_sheet_shows_the_nearest_patches_in_place_and_the_others_below(patch_of):
    entries = np.array([[1, 5, 9], [2, 6, 10]])  # two tiles side by side, the second one cut off

    sheet = reference_sheet(entries, 200, 400, patch_of)

    assert sheet.shape == (300, 400, 3)
    assert (sheet[:200, :256] == 20).all()
    assert (sheet[:200, 256:] == 40).all()
    assert [sheet[250, column, 0] for column in (10, 190, 210, 390)] == [100, 120, 180, 200]


def test_a_sheet_of_one_reference_per_tile_is_one_mosaic(patch_of):
    assert reference_sheet(np.array([[3]]), 100, 50, patch_of).shape == (100, 50, 3)


def test_wide_pictures_are_scaled_down_for_display_only(picture):
    assert display(picture(0, height=200, width=2 * DISPLAY_WIDTH)).shape == (100, DISPLAY_WIDTH, 3)
    assert np.array_equal(display(picture(0)), picture(0))


def test_the_first_photos_are_kept_as_pictures_of_about_one_size(run, store, photos_of, picture):
    version = run(store, photos_of({"a": picture(0), "b": picture(1)})).version

    rows = version.table("panels").to_pylist()
    assert [(row["image_id"], row["codec"]) for row in rows] == [
        ("a", codec) for codec in ("clc", "clc, no references", "JPEG", "WebP")
    ]
    assert [row["quality"] for row in rows[:2]] == [50, 50]
    assert [row["references"] is None for row in rows] == [False, True, True, True]
    assert np.array_equal(decode_patch(rows[0]["original"]), picture(0))
    for row in rows[2:]:
        rates = [each.bpp for each in image_rows(version) if (each.image_id, each.codec) == ("a", row["codec"])]
        assert row["bpp"] == min(rates, key=lambda bpp: abs(np.log(bpp / rows[0]["bpp"])))
