"""References chosen by attention, beside the nearest ones and none: bytes and PSNR, and what the KV-cache answered.

The candidates are the same; only the choice among them differs. PSNR is of the decoded file.
"""

import argparse

import numpy as np
import torch

from benchmarks.codec import subject
from benchmarks.printing import print_table
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.evaluation.measure.metrics import bits_per_pixel, psnr

_QUALITIES = (20.0, 60.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options and --threads."""
    subject.add_options(parser)
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Print a row per quality and choice, and the cache's counts; there is no target."""
    torch.set_num_threads(options.threads)
    opened = subject.open_subject(options)
    photos = subject.open_photos(options)
    codec, retriever = open_encoder(opened.store, opened.model, opened.dictionary)
    cache = retriever.cache
    rows = []
    for quality in _QUALITIES:
        for choice in ("attention", "nearest", "none"):
            retriever.cache = cache if choice == "attention" else None
            measured = []
            for photo in photos:
                data = codec.compress(photo.pixels, quality=quality, references=choice != "none", always=True)
                height, width = photo.pixels.shape[:2]
                measured.append((bits_per_pixel(len(data), height, width), psnr(photo.pixels, codec.decompress(data))))
            bpp, decibels = np.mean(measured, axis=0)
            rows.append([quality, choice, f"{bpp:.4f}", f"{decibels:.3f}"])
    print(f"\n{len(photos)} photos, means\n")
    print_table(["quality", "references", "bpp", "PSNR, dB"], rows)
    if cache is not None:
        counts = cache.statistics
        print(
            f"KV-cache: {counts.hits} hits, {counts.misses} misses ({counts.hit_rate:.3f}), "
            f"{counts.evictions} evictions, {counts.entries} entries, {counts.bytes} bytes"
        )
    return 0
