"""Examples that the filter learns from: a photo, what the codec shows of it, and the views that it was coded with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.errors import TrainingError
from clc.model.limits import QUALITY_MAX, QUALITY_MIN
from clc.model.network import CompressionModel
from clc.model.tiles import to_unit_range
from clc.training.blend.scenes import SMALLEST_PHOTO, shots
from clc.training.data.coded_views import coded

_MOST_VIEWS = 3
_REFERENCE_QUALITIES = (75.0, 100.0)


@dataclass(frozen=True)
class Examples:
    """n of one number of views. photos, shown: uint8 [n, 256, 256, 3]; views: uint8 [n, K, 256, 256, 3].

    qualities: float32 [n], of what is shown.
    """

    photos: Tensor
    shown: Tensor
    views: Tensor
    qualities: Tensor


@torch.no_grad()
def examples(
    model: CompressionModel, photos: Sequence[NDArray[np.uint8]], number: int, draw: np.random.Generator
) -> Examples:
    """`number` examples out of photos uint8 [H, W, 3]; those that are too small are left out.

    model: not frozen; it codes the views alone, then the photos with them.
    Raises TrainingError if all are too small.
    """
    views = int(draw.integers(1, _MOST_VIEWS + 1))
    large = [photo for photo in photos if min(photo.shape[:2]) >= SMALLEST_PHOTO]
    if not large:
        raise TrainingError(f"no photo has {SMALLEST_PHOTO} pixels along each side; name larger ones")
    pairs = draw.integers(len(large), size=(number, 2))
    drawn = [shots(large[photo], large[other], views, draw) for photo, other in pairs]
    taken = torch.from_numpy(np.stack([each.photo for each in drawn]))
    seen = torch.from_numpy(np.stack([each.views for each in drawn])).flatten(0, 1)
    seen = coded(model, seen, _uniform(len(seen), _REFERENCE_QUALITIES, draw))
    qualities = _uniform(number, (QUALITY_MIN, QUALITY_MAX), draw)
    references = model.analyse(to_unit_range(seen)).unflatten(0, (number, views))
    image = model(to_unit_range(taken), references, qualities).image
    shown = image.clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
    return Examples(taken, shown, seen.unflatten(0, (number, views)), qualities)


def _uniform(number: int, limits: tuple[float, float], draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(draw.uniform(*limits, size=number).astype(np.float32))
