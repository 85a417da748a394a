"""`python -m benchmarks.parallax`: what displacements save a photo whose key photo was taken from elsewhere.

Pairs of a scene's photos of split `reference` are drawn. The second is coded alone, some steps finer; the first with it
as its key photo, at two qualities, with displacements and by its corners alone. `saved` is the share of bytes at equal
PSNR, the mean at both qualities, on the line between them (logarithm of bytes over PSNR).
"""

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from clc.api import DEFAULT, find_model
from clc.archive.packer import finer
from clc.codec.artifacts import read_model
from clc.codec.bitstream import Bitstream, describe
from clc.codec.decisions.targets import Target
from clc.codec.key_codec import KeyCodec
from clc.dictionary.retrieval.align import PhotoAligner
from clc.images import open_source, read_photos
from clc.images.psnr import psnr
from clc.store.shipped import LayeredStore

Point = tuple[int, float]
"""Bytes, and dB."""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parallax",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--scenes", nargs="+", default=("handheld",))
    parser.add_argument("--pairs", type=int, default=6, help="of each scene")
    parser.add_argument("--qualities", type=float, nargs=2, default=(25.0, 45.0))
    parser.add_argument("--finer", type=float, default=30.0, help="steps by which the key photo is finer")
    options = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    rows = [row for scene in options.scenes for row in _rows(scene, options)]
    heading = (
        "scene",
        "photo, key photo",
        "bytes, dB by corners",
        "bytes, dB refined",
        "displacements, bytes",
        "saved",
    )
    print_table(heading, [(*row[:-1], f"{row[-1]:.1%}") for row in rows])
    print(f"mean: {np.mean([row[-1] for row in rows]):.1%}")


def _rows(scene: str, options: argparse.Namespace) -> list[tuple[str, str, str, str, str, float]]:
    source = open_source(f"{pack('collection-sites')}?scene={scene}&split=reference")
    photos = [each.pixels for each in read_photos(source, [])]
    model = find_model(LayeredStore(options.store), options.model)
    network = read_model(model)
    ways = [
        KeyCodec(network, model.short_id, aligner=partial(PhotoAligner, refined=refined)) for refined in (False, True)
    ]
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(options.pairs):
        first, second = (int(each) for each in generator.choice(len(photos), 2, replace=False))
        fine = finer(Target.choose(options.qualities[1]), options.finer)
        key = ways[0].compress_to(photos[second], fine)[0].data
        found = [coded(way, photos[first], key, options.qualities, "displacements") for way in ways]
        plain, refined = (points for points, _ in found)
        shown = (f"{points[-1][0]:,}, {points[-1][1]:.2f}" for points in (plain, refined))
        rows.append((scene, f"{first}, {second}", *shown, f"{found[1][1]:,}", saved(plain, refined)))
    return rows


def coded(
    codec: KeyCodec, photo: NDArray[np.uint8], key: bytes, qualities: Sequence[float], named: str
) -> tuple[list[Point], int]:
    """A photo with a key photo: a point for each quality, and the bytes of a section of the last stream."""
    points, section = [], 0
    for quality in qualities:
        data = codec.compress_to(photo, Target.choose(quality), [key])[0].data
        used = [key] if Bitstream.from_bytes(data).header.references else []
        points.append((len(data), psnr(photo, codec.decoder(used).decompress(data))))
        sizes = describe(data)["bytes"]
        assert isinstance(sizes, dict)
        section = sizes[named]
    return points, section


def saved(plain: list[Point], refined: list[Point]) -> float:
    """The share of bytes at equal PSNR."""
    (few, low), (many, high) = refined
    slope = np.log(many / few) / (high - low)
    logarithms = [
        np.log(own[0] / other[0]) - slope * (own[1] - other[1]) for own, other in zip(refined, plain, strict=True)
    ]
    return float(1 - np.exp(np.mean(logarithms)))


if __name__ == "__main__":
    main()
