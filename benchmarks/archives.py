"""`python -m benchmarks.archives`: all photos of a scene in one archive, every byte counted, against its rivals.

A scene's photos, those of both splits, are packed with `clc pack`'s code at some qualities. Rivals take what they take
at the same mean RGB PSNR: JPEG, WebP, AVIF and JPEG XL each photo by itself (the last where `cjxl` is on PATH), AVIF as
a video (libaom's inter coding), and x265 (where it is on PATH; slow, 4:4:4, every fifth photo a golden frame that
others refer to). `alone` is CLC with every photo by itself. Bytes are those of whole files.

`--pack kodak` packs photos that have nothing in common.
"""

import argparse
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

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from clc.api import DEFAULT
from clc.archive.album import Album, StoreStreamDecoder
from clc.archive.coding import StoreCoder
from clc.archive.creation import create_archive
from clc.archive.inputs import InputPhoto, Inputs
from clc.archive.writer import open_archive
from clc.codec.decisions.targets import Target
from clc.images import open_source, read_photos
from clc.images.psnr import psnr

_SCENES = ("museum", "ams", "pond", "handheld")
_GOLDEN = 5  # every so many photos, one that others refer to
_COLOURS = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])

Pictures = Sequence[NDArray[np.uint8]]
Coding = Callable[[int, Pictures], tuple[int, Pictures]]
"""A quality and pictures to bytes of all, and what comes back."""


@dataclass(frozen=True)
class Rival:
    """How else photos are kept. worst, best: the ends of its qualities; smaller numbers may be better."""

    name: str
    worst: int
    best: int
    code: Coding


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.archives", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--pack", default="collection-sites", help="pack of photos")
    parser.add_argument("--scenes", nargs="+", default=_SCENES, help="scenes of the pack; - for a pack without scenes")
    parser.add_argument("--split", choices=("reference", "test"), help="photos of one split only")
    parser.add_argument("--limit", type=int, help="the first LIMIT photos of a scene only")
    parser.add_argument("--qualities", type=float, nargs="+", default=(30.0, 55.0))
    parser.add_argument("--rivals", nargs="*", default=[rival.name for rival in rivals()])
    options = parser.parse_args()
    print_machine()
    chosen = [rival for rival in rivals() if rival.name in options.rivals]
    for scene in options.scenes:
        filters = [f"scene={scene}"] if scene != "-" else []
        filters += [f"split={options.split}"] if options.split else []
        filters += [f"limit={options.limit}"] if options.limit else []
        spec = pack(options.pack) + ("?" + "&".join(filters) if filters else "")
        photos = list(open_source(spec).encoded())
        pictures = [photo.pixels for photo in read_photos(open_source(spec), [])]
        print(f"{scene}: {len(photos)} photos, {sum(len(photo.data) for photo in photos):,} bytes as they come\n")
        inputs = Inputs([InputPhoto(photo.image_id, data=photo.data) for photo in photos])
        names = [photo.image_id for photo in photos]
        rows = [_row(inputs, names, pictures, quality, chosen, options) for quality in options.qualities]
        heading = ("quality", "archive, bytes", "dB", "key", "referring", "index …", "most decodings", "alone, % more")
        print_table((*heading, *(f"% of {rival.name}" for rival in chosen)), rows)


def _row(
    inputs: Inputs,
    names: Sequence[str],
    pictures: Pictures,
    quality: float,
    others: Sequence[Rival],
    options: argparse.Namespace,
) -> tuple[object, ...]:
    size, streams, decoded, parents = _packed(inputs, names, quality, True, options)
    keys = {parent for own in parents for parent in own}
    decibels = _mean_psnr(pictures, decoded)
    alone = at_decibels(
        lambda step: _packed(inputs, names, 10.0 * step, False, options)[::2], 1, 10, pictures, decibels
    )
    shares = [
        f"{100 * size / at_decibels(partial(_coded, rival, pictures), rival.worst, rival.best, pictures, decibels):.1f}"
        for rival in others
    ]
    counts = (len(keys), sum(map(bool, parents)), f"{size - streams:,}", 1 + max(map(len, parents)))
    return (f"{quality:g}", f"{size:,}", f"{decibels:.2f}", *counts, f"{100 * (alone / size - 1):.1f}", *shares)


def _packed(
    inputs: Inputs, names: Sequence[str], quality: float, references: bool, options: argparse.Namespace
) -> tuple[int, int, Pictures, list[tuple[int, ...]]]:
    """Bytes of an archive and of its streams, its photos, and what each stream refers to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "album.clca"
        target = Target.choose(quality)
        create_archive(path, inputs, StoreCoder(options.model, target, references=references, store=options.store))
        with Album(open_archive(path), StoreStreamDecoder(options.store)) as album:
            rows = [album.archive.stream_row(name) for name in names]
            decoded = [album.pixels(name) for name in names]
        streams = sum(row.extent.length for row in {row.extent.at: row for row in rows}.values())
        return path.stat().st_size, streams, decoded, [row.parents for row in rows]


def _coded(rival: Rival, pictures: Pictures, quality: int) -> tuple[int, Pictures]:
    return rival.code(quality, pictures)


def _mean_psnr(pictures: Pictures, decoded: Pictures) -> float:
    return float(np.mean([psnr(*pair) for pair in zip(pictures, decoded, strict=True)]))


def at_decibels(
    code: Callable[[int], tuple[int, Pictures]], worst: int, best: int, pictures: Pictures, decibels: float
) -> float:
    """Bytes at a mean PSNR, interpolated in log bytes between neighbouring qualities; those of an end beyond it."""
    known: dict[int, tuple[int, float]] = {}

    def at(quality: int) -> tuple[int, float]:
        if quality not in known:
            size, decoded = code(quality)
            known[quality] = size, _mean_psnr(pictures, decoded)
        return known[quality]

    low, high = worst, best
    while abs(high - low) > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle)[1] < decibels else (low, middle)
    (small, worse), (large, better) = at(low), at(high)
    share = min(max((decibels - worse) / (better - worse), 0.0), 1.0) if better > worse else 0.0
    return math.exp((1 - share) * math.log(small) + share * math.log(large))


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
        source.write_bytes(b"".join(_to_yuv(picture).tobytes() for picture in pictures))
        options = ["--input-res", f"{width}x{height}", "--fps", "1", "--input-csp", "i444", "--preset", "slow"]
        options += ["--bframes", str(_GOLDEN - 1), "--b-adapt", "0", "--no-b-pyramid", "--keyint", "-1", "--ref", "5"]
        options += ["--no-scenecut", "--rc-lookahead", "20", "--pools", "1", "--no-info", "--qp", str(quantiser)]
        subprocess.run(
            ["x265", "--input", source, *options, "--output", coded, "--recon", shown], check=True, capture_output=True
        )
        frames = np.fromfile(shown, np.uint8).reshape(-1, 3, height, width)
        return coded.stat().st_size, [_from_yuv(frame) for frame in frames]


def _to_yuv(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Full range, as JPEG has it: uint8 [3, H, W]."""
    yuv = np.tensordot(_COLOURS, picture.astype(np.float64), axes=(1, 2))
    yuv[1:] += 128
    return np.clip(np.rint(yuv), 0, 255).astype(np.uint8)


def _from_yuv(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    yuv = frame.astype(np.float64)
    yuv[1:] -= 128
    rgb = np.tensordot(np.linalg.inv(_COLOURS), yuv, axes=(1, 0))
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8).transpose(1, 2, 0)


if __name__ == "__main__":
    main()
