import numpy as np
import pytest

from clc.images import contrast, crop_positions, grid_positions, is_flat


def positions(**changes):
    return crop_positions(
        **({"height": 300, "width": 400, "size": 64, "count": 50, "seed": 1, "image_id": "a.png"} | changes)
    )


def test_crops_depend_on_seed_and_image_alone():
    assert positions() == positions()
    assert positions(seed=2) != positions()
    assert positions(image_id="b.png") != positions()


def test_crops_of_a_photo_are_pinned():
    """Another order here would change every published patch artifact."""
    assert positions(count=3) == [(291, 40), (254, 37), (93, 59)]


def test_crops_are_distinct_and_inside_the_photo():
    found = positions(count=500)
    assert len(set(found)) == 500
    assert all(0 <= x <= 400 - 64 and 0 <= y <= 300 - 64 for x, y in found)


def test_a_photo_with_fewer_positions_gives_each_of_them():
    assert sorted(positions(height=65, width=66, count=50)) == [(x, y) for x in range(3) for y in range(2)]


def test_a_photo_of_exactly_the_size_gives_one_crop():
    assert positions(height=64, width=64) == [(0, 0)]


@pytest.mark.parametrize("shape", [{"height": 63}, {"width": 63}])
def test_a_photo_smaller_than_a_crop_gives_none(shape):
    assert positions(**shape) == []


@pytest.mark.parametrize("bad", [{"size": 0}, {"count": -1}])
def test_impossible_requests_are_refused(bad):
    with pytest.raises(ValueError, match="at least"):
        positions(**bad)


def test_a_grid_covers_every_pixel_up_to_the_borders():
    covered = np.zeros((150, 211), dtype=bool)
    for x, y in grid_positions(150, 211, size=64, stride=48):
        assert covered[y : y + 64, x : x + 64].shape == (64, 64)
        covered[y : y + 64, x : x + 64] = True
    assert covered.all()


def test_a_grid_has_no_position_twice():
    assert grid_positions(128, 192, size=64, stride=64) == [
        (0, 0),
        (64, 0),
        (128, 0),
        (0, 64),
        (64, 64),
        (128, 64),
    ]


def test_a_grid_of_a_small_photo_is_empty():
    assert grid_positions(63, 200, size=64, stride=32) == []


def test_a_grid_without_stride_is_refused():
    with pytest.raises(ValueError, match="stride"):
        grid_positions(64, 64, size=64, stride=0)


def test_contrast_is_the_luma_deviation_within_cells():
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = 20  # levels 0 and 20: a standard deviation of 10 everywhere
    assert contrast(stripes) == pytest.approx(10, abs=1e-3)


def test_blocks_that_differ_from_each_other_only_have_no_contrast():
    cells = np.repeat(np.repeat(np.array([[0, 200], [90, 40]], dtype=np.uint8), 16, axis=0), 16, axis=1)
    assert contrast(np.stack([cells] * 3, axis=2)) == 0


def test_contrast_ignores_what_is_not_a_whole_cell():
    patch = np.zeros((40, 40, 3), dtype=np.uint8)
    patch[32:, ::2] = 255
    assert contrast(patch) == 0


def test_contrast_needs_a_whole_cell():
    with pytest.raises(ValueError, match="16×16"):
        contrast(np.zeros((15, 40, 3), dtype=np.uint8))


def test_a_patch_below_the_threshold_is_flat():
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = 4
    assert is_flat(stripes, threshold=2.5)
    assert not is_flat(stripes, threshold=1.5)
