"""A share of the crops becomes what photos seldom show: a codec that learned from photos alone destroys it."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from clc.images.extremes import out_of_focus, oversaturated
from clc.images.patterns import PATTERNS, draw_pattern, mixed_with
from clc.training.data.crops import Batch

_NAMES = tuple(PATTERNS)


def with_unusual(batch: Batch, share: float, generator: np.random.Generator) -> Batch:
    """The batch with about this share of its crops changed, and marked as such; all others are as they were."""
    unusual = generator.random(len(batch.rows)) < share
    pixels = batch.pixels.clone()
    for row in np.flatnonzero(unusual):
        pixels[row] = torch.from_numpy(unusual_crop(pixels[row].numpy(), generator))
    return replace(batch, pixels=pixels, unusual=unusual)


def unusual_crop(crop: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """From a crop uint8 [s, s, 3]: half of the time a pattern alone, a quarter of it a pattern beside or over the crop,
    else the crop itself out of focus or oversaturated.
    """
    case = generator.integers(8)
    if case == 0:
        return out_of_focus(crop, generator)
    if case == 1:
        return oversaturated(crop, generator)
    pattern = draw_pattern(_NAMES[generator.integers(len(_NAMES))], generator, len(crop))
    return mixed_with(crop, pattern, generator) if case < 4 else pattern
