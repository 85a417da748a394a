"""Rate-distortion curves that are means over photos, by the metric of their quality."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.evaluation.measure.metrics import ms_ssim_db
from clc.evaluation.results import ImageRow


@dataclass(frozen=True)
class Metric:
    """What is averaged over photos, and how many decibels a mean stands for."""

    name: str
    of_photo: Callable[[ImageRow], float]
    decibels: Callable[[float], float]


PSNR = Metric("PSNR", lambda row: row.psnr, lambda mean: mean)
MS_SSIM = Metric("MS-SSIM", lambda row: row.ms_ssim, ms_ssim_db)


@dataclass(frozen=True)
class PhotoCurves:
    """One codec's curves of several photos.

    rates (bpp), values (what the metric averages): float64 [photos, points].
    """

    rates: NDArray[np.float64]
    values: NDArray[np.float64]
    metric: Metric

    def mean(self) -> list[tuple[float, float]]:
        """The points (bpp, dB) of the mean curve, without those at which any photo is lossless (see `means`)."""
        finite = self._finite()
        rates, values = self.rates[:, finite].mean(axis=0), self.values[:, finite].mean(axis=0)
        return [(float(rate), self.metric.decibels(float(value))) for rate, value in zip(rates, values, strict=True)]

    def means(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rates and qualities (dB), each [draws, points], of mean curves that count photos by weights [draws, photos].

        A point at which any photo is lossless is left out: its mean is infinite if that photo is drawn alone.
        """
        finite = self._finite()
        shares = weights / weights.sum(axis=1, keepdims=True)
        return shares @ self.rates[:, finite], self._decibels(shares @ self.values[:, finite])

    def _finite(self) -> NDArray[np.bool_]:
        return np.all(np.isfinite(self._decibels(self.values)), axis=0)

    def _decibels(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        decibels: NDArray[np.float64] = np.vectorize(self.metric.decibels, otypes=[np.float64])(values)
        return decibels


def photo_curves(rows: Iterable[ImageRow], photos: Sequence[str], metric: Metric) -> PhotoCurves:
    """The curves of one codec's rows for these photos, which must be among its `complete_photos`."""
    by_photo = _by_photo(rows)
    chosen = [[by_photo[photo][quality] for quality in sorted(by_photo[photo])] for photo in photos]
    return PhotoCurves(
        rates=np.array([[row.bpp for row in curve] for curve in chosen]),
        values=np.array([[metric.of_photo(row) for row in curve] for curve in chosen]),
        metric=metric,
    )


def complete_photos(rows: Sequence[ImageRow], metric: Metric = PSNR) -> list[str]:
    """The photos of one codec's rows that it coded at every quality and that the metric can tell of."""
    qualities = {row.quality for row in rows}
    return [
        photo
        for photo, curve in _by_photo(rows).items()
        if curve.keys() == qualities and not any(math.isnan(metric.of_photo(row)) for row in curve.values())
    ]


def _by_photo(rows: Iterable[ImageRow]) -> dict[str, dict[float, ImageRow]]:
    by_photo: dict[str, dict[float, ImageRow]] = {}
    for row in rows:
        by_photo.setdefault(row.image_id, {})[row.quality] = row
    return by_photo
