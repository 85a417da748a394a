"""Rate-distortion curves that others have published: facts with their sources, never mixed with what was measured here.

PSNR is over RGB, a mean over the images of the data set, as the rate is.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

VTM = "VTM 9.1"
"""The anchor that the literature compares with."""


PHOTOS = {
    "kodak": 24,
    "tecnick": 100,
    "clic2020-professional-valid41": 41,
    "clic2020-professional-test250": 250,
    "clic2020-mobile": 178,
}
"""How many photos each data set has: results of fewer are not results on it."""


@dataclass(frozen=True)
class PublishedCurve:
    """Points (bpp, dB) of one codec on one data set. source: repository and file that they were read from."""

    codec: str
    dataset: str
    source: str
    points: tuple[tuple[float, float], ...]


@cache
def published_curves() -> tuple[PublishedCurve, ...]:
    """All curves.

    >>> [curve.codec for curve in published_curves() if curve.dataset == "tecnick"][:2]
    ['VTM 9.1', 'LALIC 2025']
    """
    rows = json.loads(files("clc.evaluation").joinpath("published_rd.json").read_text())
    return tuple(
        PublishedCurve(row["codec"], row["dataset"], row["source"], tuple(zip(row["bpp"], row["psnr"], strict=True)))
        for row in rows
    )


def published_curve(codec: str, dataset: str) -> PublishedCurve:
    """One curve. Raises KeyError if there is none."""
    for curve in published_curves():
        if (curve.codec, curve.dataset) == (codec, dataset):
            return curve
    raise KeyError(f"no published curve of {codec} on {dataset}")
