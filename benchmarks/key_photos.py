"""`python -m benchmarks.key_photos`: what one key photo saves another photo, beside what thumbnails predict.

Pairs of a scene's photos of split `reference` are drawn. The first is coded alone and with the second, which is coded
some steps finer, as its key photo. `left` is the share of its cost that the key photo leaves, by thumbnails
(clc/dictionary/retrieval/resemblance.py); `bytes` and `dB` are what came of it. The last lines fit what planning
assumes (predicted_cost.py beside it): bytes = a + b · left, dB = c · (1 − left).
"""

import argparse

import numpy as np
import torch

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from clc.api import DEFAULT, find_model
from clc.archive.packer import finer
from clc.codec.artifacts import read_model
from clc.codec.decisions.targets import Target
from clc.codec.key_codec import KeyCodec
from clc.dictionary.retrieval.align import PhotoAligner
from clc.dictionary.retrieval.resemblance import resemblance, thumbnail
from clc.images import open_source, read_photos
from clc.images.psnr import psnr
from clc.store.shipped import LayeredStore


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.key_photos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--scenes", nargs="+", default=("museum", "ams", "pond", "handheld"))
    parser.add_argument("--pairs", type=int, default=6, help="of each scene")
    parser.add_argument("--quality", type=float, default=40.0)
    parser.add_argument("--finer", type=float, default=30.0, help="steps by which the key photo is finer")
    options = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    rows = [row for scene in options.scenes for row in _rows(scene, options)]
    heading = ("scene", "photo, key photo", "left", "bytes, of those alone", "dB more", "key photo, times alone")
    print_table(heading, rows)
    left, share, decibels = np.array([row[2:5] for row in rows], dtype=np.float64).T
    slope, least = np.polyfit(left, share, 1)
    gain = float(((1 - left) * decibels).sum() / ((1 - left) ** 2).sum())
    off = np.std(share - least - slope * left)
    print(f"bytes = {least:.2f} + {slope:.2f} · left, off by {off:.2f}; dB = {gain:.2f} · (1 − left)")


def _rows(scene: str, options: argparse.Namespace) -> list[tuple[object, ...]]:
    source = open_source(f"{pack('collection-sites')}?scene={scene}&split=reference")
    photos = [each.pixels for each in read_photos(source, [])]
    left = resemblance([thumbnail(photo) for photo in photos]).among(np.arange(len(photos)))
    model = find_model(LayeredStore(options.store), options.model)
    codec = KeyCodec(read_model(model), model.short_id, aligner=PhotoAligner)
    target = Target.choose(options.quality)
    generator = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = []
    for _ in range(options.pairs):
        first, second = (int(each) for each in generator.choice(len(photos), 2, replace=False))
        key = codec.compress_to(photos[second], finer(target, options.finer))[0].data
        plain = codec.compress_to(photos[second], target)[0].data
        alone = codec.compress_to(photos[first], target)[0].data
        given, used = codec.compress_to(photos[first], target, [key])
        better = psnr(photos[first], codec.decoder([key] if used else []).decompress(given.data))
        better -= psnr(photos[first], codec.decoder().decompress(alone))
        share = len(given.data) / len(alone)
        rows.append((scene, f"{first}, {second}", left[first, second], share, better, len(key) / len(plain)))
    return rows


if __name__ == "__main__":
    main()
