"""What the encoder's effort brings, and what it costs.

The middle of each photo is coded at several qualities and efforts, and decoded again: photos of `--source` without
references, or those of split `test` of a scene of the pack `collection-sites` with its reference photos, as
`benchmarks.collections` chooses them. CPU seconds are those of encoding, on one thread. Differences in R + λ·D are
means over photos and qualities, each against its own effort 0; those in rate at equal PSNR are of the mean curves.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.collections import SCENES, coding_ways, parts
from benchmarks.printing import print_table
from clc.api import DEFAULT, find_model
from clc.codec.artifacts import open_codec
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.references.artifact import ReferencesConfig
from clc.codec.safety.net import Candidate
from clc.evaluation.compare.rate_difference import rate_difference
from clc.images import PhotoSource, open_source, read_photos
from clc.images.psnr import psnr
from clc.store import copy_version
from clc.store.shipped import LayeredStore


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which model, photos, efforts, qualities, and how much of each photo."""
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", help="model version; default: alias production, else the shipped one")
    photos = parser.add_mutually_exclusive_group(required=True)
    photos.add_argument("--source", help="photos, as a source spec")
    photos.add_argument("--scene", choices=SCENES, help="a collection, coded with references")
    parser.add_argument("--efforts", type=int, nargs="+", default=[0, 3, 6, 9], help="the first is compared with")
    parser.add_argument("--qualities", type=float, nargs="+", default=[20.0, 50.0, 80.0])
    parser.add_argument("--side", type=int, default=256, help="pixels of the square in the middle that is coded")


def run(options: argparse.Namespace) -> int:
    """Print a row per effort; 1 if a file costs more than one of the first effort."""
    torch.set_num_threads(1)
    store = LayeredStore(options.store)
    model = find_model(store, options.model or DEFAULT)
    with tempfile.TemporaryDirectory() as folder:
        if options.scene:
            shown, photos = parts(options.scene, "test", None)
            work = LayeredStore(Path(folder))
            codec = coding_ways(shown, copy_version(model, work), work, (ReferencesConfig().quality,))[-1].codec
        else:
            photos, codec = open_source(options.source), open_codec(store, model)
        return _compare(codec, photos, options)


def _compare(codec: Codec, photos: PhotoSource, options: argparse.Namespace) -> int:
    squares = [_middle(photo.pixels, options.side) for photo in read_photos(photos, skipped=[])]
    refers = options.scene is not None
    codec.compress(squares[0][:64, :64], references=False, effort=1)  # what is made once
    costs: dict[int, list[float]] = defaultdict(list)
    points: dict[int, dict[float, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[int, float] = defaultdict(float)
    for square in squares:
        start = time.process_time()
        analysis = codec.encoder.analyse(square, references=refers)
        analysing = time.process_time() - start
        for quality in options.qualities:
            for effort in options.efforts:
                start = time.process_time()
                data = codec.encoder.code(analysis, quality, effort=effort).data
                seconds[effort] += analysing + time.process_time() - start
                picture = codec.decompress(data)
                costs[effort].append(analysis.net.cost(Candidate(Bitstream.from_bytes(data), picture)))
                points[effort][quality].append((8 * len(data) / square[..., 0].size, psnr(square, picture)))
    first = options.efforts[0]
    rows = []
    for effort in options.efforts:
        gains = np.divide(costs[effort], costs[first]) - 1.0
        curves = [[tuple(np.mean(each, axis=0)) for each in points[one].values()] for one in (first, effort)]
        rate = rate_difference(*curves)
        rows.append(
            [
                str(effort),
                f"{gains.mean():+.2%}",
                f"{gains.min():+.2%} to {gains.max():+.2%}",
                "none" if rate is None else f"{rate.mean:+.2%}",
                seconds[effort] / len(costs[effort]),
                f"{seconds[effort] / seconds[first]:.1f}",
            ]
        )
    print(f"{len(squares)} photos of {options.side}×{options.side} pixels, qualities {options.qualities}\n")
    print_table(["effort", "R + λ·D", "from, to", "rate at equal PSNR", "CPU s to encode", "times"], rows)
    return int(any(max(np.divide(each, costs[first])) > 1.0 for each in costs.values()))


def _middle(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
