"""Pictures that photos seldom show, generated."""

import numpy as np
import pytest

from clc.images.patterns import PATTERNS, draw_pattern, mixed_with, pattern_pictures
from tests.conftest import picture


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_a_picture_that_follows_from_its_generator(name: str) -> None:
    drawn = [draw_pattern(name, np.random.default_rng(seed), 48) for seed in (1, 1, 2)]
    assert drawn[0].shape == (48, 48, 3)
    assert drawn[0].dtype == np.uint8
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_every_variant_has_a_name_of_its_own() -> None:
    names = [name for name, _ in pattern_pictures(16, variants=2)]
    assert len(set(names)) == len(names) == 2 * len(PATTERNS)


def test_a_mixture_keeps_some_of_the_photo() -> None:
    photo = picture(3)[:64, :64]
    for seed in range(8):
        generator = np.random.default_rng(seed)
        mixture = mixed_with(photo, draw_pattern("checkerboard", generator, 64), generator)
        unchanged = (mixture == photo).all(axis=2).mean()
        assert 0.05 < unchanged < 1.0
