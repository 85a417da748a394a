"""The gate before `production`: what must hold of a trained codec's results before it replaces the one in use."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clc.codec.codec import Codec
from clc.evaluation.compare.interval import Interval, interval
from clc.evaluation.compare.rate_difference import RateDifference, rate_difference
from clc.evaluation.compare.summary import codec_names, image_rows, means
from clc.evaluation.results import ImageRow
from clc.images import Photo, read_image
from clc.store import Store, Version


class Refusal(StrEnum):
    """What a run ends as when the gate refuses its model."""

    COMPLETED = "completed"  # it did what it was asked for
    FAILED = "failed"  # so that whoever watches failed runs sees it


class GateConfig(BaseModel):
    """What a new dictionary and model must achieve to become production."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_rate_difference: float = Field(
        default=0.0,
        gt=-1.0,
        description="mean file size against production's at equal PSNR; 0.02 lets files grow by 2 %",
    )
    max_noise: float = Field(
        default=0.02,
        ge=0,
        description="how much more than that is taken for noise at most: as far as the bootstrap over the test photos "
        "(95 %) lets it be noise, or all of it where there are too few photos for one",
    )
    min_quality_range: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="share of production's range of PSNR that the candidate's must cover; sizes are compared there",
    )
    exact_photos: int = Field(
        default=2, ge=1, description="test photos whose streams a process of its own must decode to the same picture"
    )
    exact_quality: float = Field(default=50.0, ge=1, le=100, description="what those are coded at")
    refusal: Refusal = Field(default=Refusal.COMPLETED, description="state of a run whose model is refused")


@dataclass(frozen=True)
class Verdict:
    """Whether the gate lets a version through.

    reasons: why it does not; empty if it does. difference: file sizes against production, None where there is none;
    noise: where it may lie for other photos, None where these are too few to tell.
    """

    reasons: tuple[str, ...]
    difference: RateDifference | None
    noise: Interval | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def judge(candidate: Version, production: Version | None, config: GateConfig) -> Verdict:
    """Compare two `results` versions of the same photos.

    production: None if nothing is in production yet: the candidate then only has to code every photo.
    """
    reasons = [f"photo {name!r} was not coded: {reason}" for name, reason in _missing(candidate).items()]
    if production is None:
        return Verdict(tuple(reasons), None)
    before, after = _rows(production), _rows(candidate)
    absent = sorted(_photos(before) - _photos(after))
    reasons += [f"photo {name!r} was coded by production and not by the candidate" for name in absent]
    shared = _photos(before) & _photos(after)
    difference = rate_difference(_curve(before, shared), _curve(after, shared))
    if difference is None:
        reasons.append(
            "the curves share too little quality to be compared; "
            "evaluate more qualities, or move the alias by hand: `clc model alias production ID`"
        )
        return Verdict(tuple(reasons), None)
    noise = interval(before, after)
    margin = config.max_noise if noise is None else min(max(difference.mean - noise.low, 0.0), config.max_noise)
    if difference.mean > config.max_rate_difference + margin:
        reasons.append(
            f"files are {difference.mean:+.1%} against production at {difference.low:.1f} to {difference.high:.1f} dB"
            f"{_spread(noise)}; the gate allows {config.max_rate_difference:+.1%}, and {margin:.1%} for noise"
        )
    worst, best = _range(_curve(before, shared))
    covered = (difference.high - difference.low) / (best - worst)
    if covered < config.min_quality_range:
        reasons.append(
            f"only {difference.low:.1f} to {difference.high:.1f} dB are reached of the {worst:.1f} to {best:.1f} dB of "
            f"production, which is {covered:.0%}; the gate wants {config.min_quality_range:.0%}"
        )
    return Verdict(tuple(reasons), difference, noise)


def _spread(noise: Interval | None) -> str:
    if noise is None:
        return ""
    return f" ({noise.low:+.1%} to {noise.high:+.1%} for {noise.level:.0%} of draws of {noise.photos} photos)"


def inexact_photos(codec: Codec, photos: Sequence[Photo], quality: float, store: Store) -> dict[str, str]:
    """The image_ids that a fresh process, given streams and store only, does not decode to the encoder's pictures, to a
    level of 255. With what it does instead.

    Each photo is coded as usual, and with references even where they do not pay: other photos will need them.
    """
    with tempfile.TemporaryDirectory(prefix="clc-gate-") as name:
        folder = Path(name)
        expected = {}
        for number, photo in enumerate(photos):
            analysis = codec.encoder.analyse(photo.pixels, references=True)
            for always in (False, True):
                coded = codec.encoder.code(analysis, quality, always=always)
                stream = folder / f"{number}-{'references' if always else 'usual'}.clc"
                stream.write_bytes(coded.data)
                expected[stream] = photo.image_id, coded.picture
        command = [sys.executable, "-m", "clc.production.decode_all", store.url, *map(str, expected)]
        finished = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        inexact = {}
        for stream, (image_id, picture) in expected.items():
            decoded, error = stream.with_suffix(".png"), stream.with_suffix(".error")
            if error.exists():
                inexact[image_id] = f"cannot be decoded by another process: {error.read_text()}"
            elif not decoded.exists():
                last = finished.stderr.strip().rpartition("\n")[2]
                inexact[image_id] = f"is not decoded by another process, which ended with {finished.returncode}: {last}"
            elif not _same(read_image(decoded), picture):
                inexact[image_id] = "is decoded differently by another process"
        return inexact


def _same(decoded: NDArray[np.uint8], picture: NDArray[np.uint8]) -> bool:
    """Equal to a level: g_s runs in floating point, which another number of threads rounds otherwise. Latents that
    differ are refused by the stream's checksum, so that there is no picture at all.
    """
    return decoded.shape == picture.shape and int(np.abs(decoded.astype(np.int16) - picture).max()) <= 1


def _missing(results: Version) -> dict[str, str]:
    """Test photos without a row of our codec, and why."""
    codec = _ours(results)
    missing = {skipped["image_id"]: skipped["reason"] for skipped in results.statistics["skipped"]}
    failures = (failure for failure in results.statistics["failures"] if failure["codec"] == codec)
    return missing | {failure["image_id"]: failure["reason"] for failure in failures}


def _rows(results: Version) -> list[ImageRow]:
    """The rows of our codec."""
    codec = _ours(results)
    return [row for row in image_rows(results) if row.codec == codec]


def _photos(rows: list[ImageRow]) -> set[str]:
    return {row.image_id for row in rows}


def _curve(rows: list[ImageRow], photos: set[str]) -> list[tuple[float, float]]:
    """Mean (bpp, dB) over these photos at each quality."""
    chosen = sorted((row for row in rows if row.image_id in photos), key=lambda row: row.quality)
    return [(mean.bpp, mean.psnr) for mean in means(chosen)]


def _range(curve: list[tuple[float, float]]) -> tuple[float, float]:
    """The lowest and the highest PSNR of a curve, but for what is coded without loss."""
    qualities = [quality for _, quality in curve if np.isfinite(quality)]
    return min(qualities), max(qualities)


def _ours(results: Version) -> str:
    """Our codec as it is used: with references if it was measured with any."""
    return codec_names(results)[0]
