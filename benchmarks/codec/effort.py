"""What the encoder's effort brings, and what it costs.

The middle of each photo is coded without references at several qualities and efforts, and decoded again. CPU seconds
are those of encoding, on one thread. Differences in R + λ·D are means over photos and qualities, each against its own
effort 0; those in rate at equal PSNR are of the mean curves.
"""

import argparse
import time
from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.printing import print_table
from clc.api import DEFAULT, find_model
from clc.codec.artifacts import open_codec
from clc.codec.bitstream import Bitstream
from clc.codec.safety.net import Candidate
from clc.evaluation.compare.rate_difference import rate_difference
from clc.images import open_source, read_photos
from clc.images.psnr import psnr
from clc.store.shipped import LayeredStore


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which model, photos, efforts, qualities, and how much of each photo."""
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", help="model version; default: alias production, else the shipped one")
    parser.add_argument("--source", required=True, help="photos, as a source spec")
    parser.add_argument("--efforts", type=int, nargs="+", default=[0, 3, 6, 9], help="the first is compared with")
    parser.add_argument("--qualities", type=float, nargs="+", default=[20.0, 50.0, 80.0])
    parser.add_argument("--side", type=int, default=256, help="pixels of the square in the middle that is coded")


def run(options: argparse.Namespace) -> int:
    """Print a row per effort; 1 if a file costs more than one of the first effort."""
    torch.set_num_threads(1)
    store = LayeredStore(options.store)
    codec = open_codec(store, find_model(store, options.model or DEFAULT))
    photos = read_photos(open_source(options.source), skipped=[])
    squares = [_middle(photo.pixels, options.side) for photo in photos]
    codec.compress(squares[0][:64, :64], references=False, effort=1)  # what is made once
    costs: dict[int, list[float]] = defaultdict(list)
    points: dict[int, dict[float, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[int, float] = defaultdict(float)
    for square in squares:
        net = codec.encoder.analyse(square, references=False).net
        for quality in options.qualities:
            for effort in options.efforts:
                start = time.process_time()
                data = codec.compress(square, quality=quality, references=False, effort=effort)
                seconds[effort] += time.process_time() - start
                picture = codec.decompress(data)
                costs[effort].append(net.cost(Candidate(Bitstream.from_bytes(data), picture)))
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
