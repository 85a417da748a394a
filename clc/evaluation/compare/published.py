"""Rate-distortion curves that others have published: facts with their sources, never mixed with what was measured here.

PSNR is over RGB, a mean over the images of the data set, as the rate is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

VTM = "VTM 9.1"
"""The anchor that the literature compares with."""

COMPARED = ("JPEG", "BPG 0.9.8 (x265, 4:4:4)", VTM)
"""Those that `clc evaluate` compares with: codecs that stand for what is in use, not other papers."""

PHOTOS = {
    "kodak": 24,
    "tecnick": 100,
    "clic2020-professional-valid41": 41,
    "clic2020-professional-test250": 250,
    "clic2020-mobile": 178,
}
"""How many photos each data set has: results of fewer are not results on it."""
_SIDES = {"kodak": (512, 768), "tecnick": (1200, 1200)}
"""Of data sets whose photos all have the same, the shorter one first."""


@dataclass(frozen=True)
class PublishedCurve:
    """Points (bpp, dB) of one codec on one data set. source: repository and file that they were read from."""

    codec: str
    dataset: str
    source: str
    points: tuple[tuple[float, float], ...]


def why_other_photos(dataset: str, sizes: Sequence[tuple[int, int]]) -> str | None:
    """Why photos of these sizes (height, width) are not the data set; None if they may be."""
    if len(sizes) != PHOTOS[dataset]:
        return f"{dataset} has {PHOTOS[dataset]} photos, these are {len(sizes)}"
    sides = _SIDES.get(dataset)
    others = [size for size in sizes if sides and tuple(sorted(size)) != sides]
    if sides and others:
        height, width = others[0]
        return f"the photos of {dataset} have {sides[1]}×{sides[0]} pixels, one of these has {width}×{height}"
    return None


@cache
def published_curves() -> tuple[PublishedCurve, ...]:
    """All curves.

    >>> [curve.codec for curve in published_curves() if curve.dataset == "tecnick"][:2]
    ['VTM 9.1', 'LALIC 2025']
    """
    rows = json.loads(files(__package__).joinpath("published_rd.json").read_text())
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
