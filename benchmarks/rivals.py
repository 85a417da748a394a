"""How else photos are kept: each by itself, as JPEG, WebP, AVIF or JPEG XL, or as the frames of a video.

JPEG XL takes `cjxl` and `djxl`, x265 its program, on PATH; the others come with Pillow.
"""

import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.evaluation.codecs.yuv import from_yuv444, to_yuv444
from clc.evaluation.measure.at_psnr import at_psnr
from clc.images.psnr import psnr

_GOLDEN = 5  # every so many photos, one that others refer to

Pictures = Sequence[NDArray[np.uint8]]
Coding = Callable[[int, Pictures], tuple[int, Pictures]]
"""A quality and pictures to bytes of all, and what comes back."""


@dataclass(frozen=True)
class Rival:
    """A way to keep photos. worst, best: the ends of its qualities; smaller numbers may be better."""

    name: str
    worst: int
    best: int
    code: Coding


def rivals() -> list[Rival]:
    """Those that this machine has."""
    found = [
        Rival("JPEG", 1, 98, _each(partial(_with_pillow, "JPEG", subsampling=0, optimize=True))),
        Rival("WebP", 1, 99, _each(partial(_with_pillow, "WEBP", method=6))),
        Rival("AVIF", 1, 99, _each(partial(_with_pillow, "AVIF", subsampling="4:4:4", speed=4))),
        Rival("AVIF video", 1, 99, _video),
    ]
    if shutil.which("cjxl") and shutil.which("djxl"):
        found.append(Rival("JPEG XL", 1, 99, _each(_jpeg_xl)))
    if shutil.which("x265"):
        found.append(Rival("x265", 50, 6, _x265))
    return found


def _each(code: Callable[[NDArray[np.uint8], int], tuple[int, NDArray[np.uint8]]]) -> Coding:
    def all_of(quality: int, pictures: Pictures) -> tuple[int, Pictures]:
        coded = [code(picture, quality) for picture in pictures]
        return sum(size for size, _ in coded), [shown for _, shown in coded]

    return all_of


def _with_pillow(
    name: str, picture: NDArray[np.uint8], quality: int, **options: object
) -> tuple[int, NDArray[np.uint8]]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, name, quality=quality, **options)
    return file.getbuffer().nbytes, np.asarray(Image.open(file).convert("RGB"))


def _jpeg_xl(picture: NDArray[np.uint8], quality: int) -> tuple[int, NDArray[np.uint8]]:
    with tempfile.TemporaryDirectory() as folder:
        source, coded, shown = (Path(folder) / name for name in ("in.png", "coded.jxl", "out.png"))
        Image.fromarray(picture).save(source)
        options = ["-q", str(quality), "-e", "7", "--num_threads=1"]
        subprocess.run(["cjxl", str(source), str(coded), *options], check=True, capture_output=True)
        subprocess.run(["djxl", str(coded), str(shown)], check=True, capture_output=True)
        return coded.stat().st_size, np.asarray(Image.open(shown).convert("RGB"))


def _video(quality: int, pictures: Pictures) -> tuple[int, Pictures]:
    file = io.BytesIO()
    first, *others = map(Image.fromarray, pictures)
    first.save(file, "AVIF", quality=quality, subsampling="4:4:4", speed=4, save_all=True, append_images=others)
    shown = []
    with Image.open(file) as image:
        for frame in range(len(pictures)):
            image.seek(frame)
            shown.append(np.asarray(image.convert("RGB")))
    return file.getbuffer().nbytes, shown


def _x265(quantiser: int, pictures: Pictures) -> tuple[int, Pictures]:
    height, width = pictures[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        source, coded, shown = (Path(folder) / name for name in ("in.yuv", "out.hevc", "out.yuv"))
        source.write_bytes(b"".join(map(to_yuv444, pictures)))
        options = ["--input-res", f"{width}x{height}", "--fps", "1", "--input-csp", "i444", "--preset", "slow"]
        options += ["--bframes", str(_GOLDEN - 1), "--b-adapt", "0", "--no-b-pyramid", "--keyint", "-1", "--ref", "5"]
        options += ["--no-scenecut", "--rc-lookahead", "20", "--pools", "1", "--no-info", "--qp", str(quantiser)]
        subprocess.run(
            ["x265", "--input", source, *options, "--output", coded, "--recon", shown], check=True, capture_output=True
        )
        frames = np.fromfile(shown, np.uint8).reshape(-1, 3 * height * width)
        return coded.stat().st_size, [from_yuv444(frame.tobytes(), height, width) for frame in frames]


def at_decibels(
    code: Callable[[int], tuple[int, Pictures]], worst: int, best: int, pictures: Pictures, decibels: float
) -> float:
    """Bytes at a mean PSNR; not a number where the best quality does not reach it."""

    def measured(quality: int) -> tuple[int, float]:
        size, decoded = code(quality)
        return size, mean_psnr(pictures, decoded)

    found = at_psnr(measured, decibels, worst=worst, best=best)
    return math.nan if found is None else found


def mean_psnr(pictures: Pictures, decoded: Pictures) -> float:
    """Of pictures and what came back."""
    return float(np.mean([psnr(*pair) for pair in zip(pictures, decoded, strict=True)]))
