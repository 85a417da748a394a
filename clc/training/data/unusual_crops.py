"""A share of the crops becomes what photos seldom show: a codec that learned from photos alone destroys it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.images.extremes import out_of_focus, oversaturated
from clc.images.patterns import PATTERNS, draw_pattern, mixed_with

_NAMES = tuple(PATTERNS)


def with_unusual(crops: Tensor, share: float, generator: np.random.Generator) -> tuple[Tensor, NDArray[np.bool_]]:
    """Crops uint8 [B, s, s, 3] with about this share of them changed, and which were, bool [B]."""
    unusual = generator.random(len(crops)) < share
    changed = crops.clone()
    for row in np.flatnonzero(unusual):
        changed[row] = torch.from_numpy(unusual_crop(changed[row].numpy(), generator))
    return changed, unusual


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
