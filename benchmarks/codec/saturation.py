"""Where the exact prior path saturates, and how far an error of the latent runs through the slices.

Photos and patterns are coded without references at several qualities. First table: the share of each layer's values at
their limit, and in how many files there is one; last rows: means at ±512 quantisation steps, levels at the highest, and
levels at 0 whose symbol is not 0 (what is written in groups). Second table: one slice of ŷ gets an error of one step at
every place, with random signs; the root mean square of what that does to the means of the slices after it, in steps.
A gain well below 1 means that errors die out; ŷ has none, so this is about how nervous the prior is.
"""

import argparse
import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.codec import subject
from benchmarks.printing import print_table
from clc.codec.codec import Codec
from clc.codec.references.protocols import NO_REFERENCES
from clc.images.patterns import pattern_pictures
from clc.model.exact.saturation import Saturated, counted_saturation
from clc.model.priors.prior import LARGEST_MEAN
from clc.model.priors.stages import Block
from clc.model.priors.tables import SCALE_LEVELS

_QUALITIES = (10.0, 50.0, 70.0, 90.0)
_SIZE = 256


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options and --variants."""
    subject.add_options(parser)
    parser.add_argument("--variants", type=int, default=8, help="of each pattern")


def run(options: argparse.Namespace) -> int:
    """Print both tables for photos and for patterns."""
    torch.set_num_threads(2)
    codec = subject.open_subject(options).codec()
    photos = [photo.pixels for photo in subject.open_photos(options)]
    patterns = [pixels for _, pixels in pattern_pictures(_SIZE, options.variants)]
    for name, pictures in (("photos", photos), ("patterns", patterns)):
        counts: dict[str, Saturated] = {}
        files: dict[str, int] = {}
        gains = []
        for picture, quality in itertools.product(pictures, _QUALITIES):
            for layer, found in _saturated(codec, picture, quality).items():
                total = counts.setdefault(layer, Saturated())
                total.values, total.at_limit = total.values + found.values, total.at_limit + found.at_limit
                files[layer] = files.get(layer, 0) + (found.at_limit > 0)
            gains.append(_gains(codec, picture, quality))
        print(f"\n{name}: {len(pictures)} at qualities {_QUALITIES}\n")
        print_table(
            ["layer", "values", "share at the limit", "files with one"],
            [[layer, own.values, own.at_limit / own.values, files[layer]] for layer, own in counts.items()],
        )
        means = np.sqrt(np.mean(np.square(gains), axis=0))
        rows: list[list[object]] = [[f"slice {index}", *map(float, row)] for index, row in enumerate(means)]
        print_table(["an error of one step in", *(f"means of slice {i}" for i in range(len(means)))], rows)
    return 0


@torch.inference_mode()
def _saturated(codec: Codec, picture: NDArray[np.uint8], quality: float) -> dict[str, Saturated]:
    analysis = codec.encoder.analyse(picture, references=False)
    with counted_saturation(codec.model.prior) as counts:
        coded = codec.encoder.code_latent(analysis, quality, NO_REFERENCES)
    means, levels, surprises = Saturated(), Saturated(), Saturated()

    def known(block: Block, mean: Tensor, level: Tensor) -> Tensor:
        own = block.of(coded.decoded.double())
        means.add(mean, LARGEST_MEAN)
        levels.add(level, SCALE_LEVELS - 1.0)
        surprises.add(torch.where(level == 0, own - mean, 0.0), 0.5)
        return own

    codec.model.decode(coded.features.double(), codec.model.gain.exact_rate(quality), known, None)
    return {**counts, "means": means, "levels": levels, "symbols at level 0": surprises}


@torch.inference_mode()
def _gains(codec: Codec, picture: NDArray[np.uint8], quality: float) -> NDArray[np.float64]:
    """[n, n]: of an error in slice i, the root mean square change of the means of slice j."""
    coded = codec.encoder.code_latent(codec.encoder.analyse(picture, references=False), quality, NO_REFERENCES)
    rate = codec.model.gain.exact_rate(quality)
    starts = [0, *itertools.accumulate(codec.model.config.prior.slices)][:-1]
    generator = torch.Generator().manual_seed(0)

    def means_with(disturbed: int | None) -> list[Tensor]:
        found: dict[int, list[Tensor]] = {start: [] for start in starts}

        def known(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            found[block.start].append(mean.flatten())
            if block.start != disturbed:
                return block.of(coded.decoded.double())
            signs = torch.randint(0, 2, mean.shape, generator=generator).to(mean) * 2 - 1
            return block.of(coded.decoded.double()) + signs

        codec.model.decode(coded.features.double(), rate, known, None)
        return [torch.cat(means) for means in found.values()]

    usual = means_with(None)
    gains = np.zeros((len(starts), len(starts)))
    for row, disturbed in enumerate(starts):
        changed = means_with(disturbed)
        gains[row] = [float((a - b).square().mean().sqrt()) for a, b in zip(usual, changed, strict=True)]
    return gains
