"""What the neural syntax of a model brings, and what it takes.

The middle of each photo is coded without references at several qualities: with the syntax where it pays, and by the
same model without any. Bytes are those of files, the section's with its kind and length, whether it pays or not.
Differences in R + λ·D are means over photos, each against its own file without the section; those in rate at equal
PSNR are of the mean curves, without a search.
"""

import argparse
from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.printing import print_table
from clc.api import DEFAULT, find_model
from clc.codec.artifacts import open_codec
from clc.codec.bitstream import Bitstream, describe
from clc.codec.codec import Codec
from clc.codec.decisions.effort import Searched
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.safety.net import Candidate
from clc.errors import ProfileError
from clc.evaluation.compare.rate_difference import rate_difference
from clc.images import open_source, read_photos
from clc.images.psnr import psnr
from clc.store.shipped import LayeredStore

_NONE, _STREAM, _POST = "none", "where it pays", "where it pays, decoded with --post"
_SEARCHES = {
    "none, latents searched": (Searched.LATENTS, False),
    "where it pays, syntax searched": (Searched.SYNTAX, True),
    "where it pays, latents searched": (Searched.LATENTS, True),
    "where it pays, both searched": (Searched.LATENTS | Searched.SYNTAX, True),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which model, photos, qualities, effort, and how much of each photo."""
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", help="model version; default: alias production, else the shipped one")
    parser.add_argument("--source", required=True, help="photos, as a source spec")
    parser.add_argument("--qualities", type=float, nargs="+", default=[20.0, 50.0, 80.0])
    parser.add_argument("--effort", type=int, default=3, help="of the searches; 0 leaves them out")
    parser.add_argument("--side", type=int, default=256, help="pixels of the square in the middle that is coded")


def run(options: argparse.Namespace) -> int:
    """Print the section's bytes, then a row per way of coding; 1 if a file costs more than one without the section."""
    torch.set_num_threads(1)
    store = LayeredStore(options.store)
    model = find_model(store, options.model or DEFAULT)
    codec = open_codec(store, model)
    if codec.model.syntax is None:
        raise ProfileError(f"{model} has no syntax; train one with profile syntax, and name it with --model")
    squares = [_middle(photo.pixels, options.side) for photo in read_photos(open_source(options.source), skipped=[])]
    ways = _ways(codec, options.effort)
    costs: dict[str, list[float]] = defaultdict(list)
    points: dict[str, dict[float, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    sections: dict[float, list[int]] = defaultdict(list)
    written: dict[float, list[int]] = defaultdict(list)
    sizes: dict[float, list[int]] = defaultdict(list)
    for square in squares:
        net = codec.encoder.analyse(square, references=False).net
        for quality in options.qualities:
            always = codec.compress(square, quality=quality, references=False, always=True)
            written[quality].append(_section_bytes(always))
            for name, (encoder, effort) in ways.items():
                data = encoder.compress(square, quality=quality, references=False, effort=effort)
                shown = codec.decompress(data)
                costs[name].append(net.cost(Candidate(Bitstream.from_bytes(data), shown)))
                points[name][quality].append((8 * len(data) / square[..., 0].size, psnr(square, shown)))
                if name != _STREAM:
                    continue
                sections[quality].append(_section_bytes(data))
                sizes[quality].append(len(data))
                if codec.model.syntax.post is not None:
                    processed = codec.decompress(data, post=True)
                    points[_POST][quality].append((points[name][quality][-1][0], psnr(square, processed)))
    print(f"{len(squares)} photos of {options.side}×{options.side} pixels\n")
    rows = [
        [
            f"{quality:g}",
            f"{np.mean(written[quality]):.1f}",
            max(written[quality]),
            sum(map(bool, own)),
            f"{np.mean(sizes[quality]):.0f}",
        ]
        for quality, own in sections.items()
    ]
    print_table(["quality", "bytes of the section", "most", "files that keep it", "bytes of a file"], rows)
    print()
    print_table(["model stream", "R + λ·D", "from, to", "rate at equal PSNR"], _compared(costs, points))
    return int(any(one > other * (1 + 1e-9) for one, other in zip(costs[_STREAM], costs[_NONE], strict=True)))


def _ways(codec: Codec, effort: int) -> dict[str, tuple[Encoder, int]]:
    network = FrozenModel(codec.model, codec.model_id)
    ways = {_NONE: (Encoder(network, codec.lookup, syntax=False), 0), _STREAM: (codec.encoder, 0)}
    if effort:
        for name, (searched, syntax) in _SEARCHES.items():
            ways[name] = Encoder(network, codec.lookup, syntax=syntax, searched=searched), effort
    return ways


def _compared(
    costs: dict[str, list[float]], points: dict[str, dict[float, list[tuple[float, float]]]]
) -> list[list[object]]:
    curves = {name: [tuple(np.mean(each, axis=0)) for each in own.values()] for name, own in points.items()}
    rows: list[list[object]] = []
    for name, curve in curves.items():
        rate = rate_difference(curves[_NONE], curve)
        gains = np.divide(costs[name], costs[_NONE]) - 1.0 if name in costs else None
        rows.append(
            [
                name,
                "" if gains is None else f"{gains.mean():+.2%}",
                "" if gains is None else f"{gains.min():+.2%} to {gains.max():+.2%}",
                "none" if rate is None else f"{rate.mean:+.2%}",
            ]
        )
    return rows


def _section_bytes(data: bytes) -> int:
    """With its kind and length."""
    sizes = describe(data)["bytes"]
    assert isinstance(sizes, dict)
    return int(sizes["syntax"])


def _middle(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
