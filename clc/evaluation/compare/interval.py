"""How sure a rate difference is: a bootstrap over photos.

Efron, "Bootstrap methods: another look at the jackknife" (1979). Photos are drawn again with replacement, as many as
there are, the same ones for both codecs; the difference is taken of the mean curves of each draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clc.evaluation.compare.curves import PSNR, Metric, complete_photos, photo_curves
from clc.evaluation.compare.rate_differences import mean_rate_differences
from clc.evaluation.results import ImageRow

MIN_PHOTOS = 5
"""With fewer photos, draws are too much alike to stand for other photos of the kind."""


@dataclass(frozen=True)
class Interval:
    """Where the rate difference lies for `level` of the draws; -0.2 to -0.1 means 20 to 10 % fewer bits."""

    low: float
    high: float
    level: float
    photos: int


def interval(
    anchor: Sequence[ImageRow],
    test: Sequence[ImageRow],
    *,
    metric: Metric = PSNR,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """Interval of the rate difference of two codecs, from the rows of each.

    Only photos that both coded at all their qualities count. The same rows and seed give the same interval, in
    whatever order the rows come. None with fewer than `MIN_PHOTOS` photos, or if the curves of any draw cannot be
    compared. It tells what other photos of this kind may give, not what another kind or another training would.
    """
    photos = common_photos(anchor, test, metric)
    if len(photos) < MIN_PHOTOS:
        return None
    weights = np.random.default_rng(seed).multinomial(len(photos), np.full(len(photos), 1.0 / len(photos)), size=draws)
    differences = mean_rate_differences(
        *(photo_curves(rows, photos, metric).means(weights.astype(np.float64)) for rows in (anchor, test))
    )
    if differences is None:
        return None
    low, high = np.quantile(differences, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high), level, len(photos))


def common_photos(anchor: Sequence[ImageRow], test: Sequence[ImageRow], metric: Metric = PSNR) -> list[str]:
    """The photos that both codecs coded at all their qualities, in the order of their names."""
    return sorted(set(complete_photos(anchor, metric)) & set(complete_photos(test, metric)))
