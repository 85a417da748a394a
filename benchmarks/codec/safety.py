"""What the safety net costs on photos: bytes at equal PSNR, and seconds of encoding. No references.

Each photo is coded with the net and without it, at eight qualities. Without it, symbols at scale level 0 are not
written, as in streams of versions 4 and 5; the picture is taken as if they were, so the net looks no cheaper than it
is. Rates are those of whole files. The rate difference is Bjøntegaard's of the mean curves; the aim is at most +0.3 %.
Seconds are CPU seconds on one thread, means of all files: with the net, and without it, the picture that a decoder
shows included, which the choice of references needs anyway. The aim is at most 15 % more.
"""

import argparse
import time
from unittest.mock import patch

import constriction
import numpy as np
import torch

from benchmarks.codec import subject
from benchmarks.printing import print_table
from clc.codec.coded_image import Analysis
from clc.codec.encoder import Encoder
from clc.codec.latent_coder import LatentCoder, PreparedBlock
from clc.codec.references.protocols import NO_REFERENCES
from clc.evaluation.compare.rate_difference import rate_difference
from clc.images.psnr import psnr

_QUALITIES = (1.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 100.0)
_MORE_RATE, _MORE_TIME = 0.3, 15.0

add_options = subject.add_options


def run(options: argparse.Namespace) -> int:
    """Print a row per quality and the differences; 1 if an aim is missed."""
    torch.set_num_threads(1)
    encoder = subject.open_subject(options).codec().encoder
    photos = [photo.pixels for photo in subject.open_photos(options)]
    measured = np.array([[_both(encoder, photo, quality) for photo in photos] for quality in _QUALITIES]).mean(axis=1)
    heading = ["quality", "bpp with the net", "without", "PSNR with", "without", "s with", "without"]
    print(f"{len(photos)} photos\n")
    print_table(heading, [[f"{quality:g}", *row] for quality, row in zip(_QUALITIES, measured.tolist(), strict=True)])
    with_net, without = (list(map(tuple, measured[:, columns].tolist())) for columns in ([0, 2], [1, 3]))
    difference = rate_difference(without, with_net)
    assert difference is not None
    rate = 100 * difference.mean
    seconds = measured[:, 4:].mean(axis=0)
    more = 100 * (seconds[0] / seconds[1] - 1)
    print(f"\nrate at equal PSNR: {rate:+.2f} %, at most {_MORE_RATE:+g} %")
    print(f"CPU seconds of encoding: {more:+.0f} %, at most {_MORE_TIME:+g} %")
    return int(rate > _MORE_RATE or more > _MORE_TIME)


def _both(encoder: Encoder, photo: np.ndarray, quality: float) -> list[float]:
    """Bits per pixel, PSNR and seconds, of each with the net and without."""
    rows = []
    for code in (_safely, _unsafely):
        start = time.process_time()
        data, picture = code(encoder, encoder.analyse(photo, references=False), quality)
        rows.append([8 * len(data) / photo[..., 0].size, psnr(photo, picture), time.process_time() - start])
    return [value for pair in zip(*rows, strict=True) for value in pair]


def _safely(encoder: Encoder, analysis: Analysis, quality: float) -> tuple[bytes, np.ndarray]:
    coded = encoder.code(analysis, quality)
    return coded.data, coded.picture


def _unsafely(encoder: Encoder, analysis: Analysis, quality: float) -> tuple[bytes, np.ndarray]:
    with patch.object(LatentCoder, "push_prepared", _push_loud):
        coded = encoder.code_with(analysis, quality, NO_REFERENCES)
    return coded.data, coded.picture


def _push_loud(self: LatentCoder, stack: constriction.stream.stack.AnsCoder, block: PreparedBlock) -> None:
    self.tables.push(stack, block.loud, block.levels)
