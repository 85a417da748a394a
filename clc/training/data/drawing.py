"""What each step trains on, drawn ahead by other processes where there are cores to spare.

A draw follows from the seed, the step and its number within the step, so it does not matter which process makes it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clc.training.config import TrainingConfig
from clc.training.data.crops import Batch, Place, TrainingSet
from clc.training.data.related_views import related_view
from clc.training.data.unusual_crops import with_unusual

_AHEAD = 4  # draws that each process holds ready


@dataclass(frozen=True)
class Draw:
    """Crops, the quality that they are coded at, and what becomes their references, None to code without any.

    entries: of the dictionary, int64 [B, M]; related: bool [B, M], which of them are replaced by `views`, uint8
    [n, 256, 256, 3], in the order of the rows.
    """

    crops: Batch
    quality: float
    entries: NDArray[np.int64] | None = None
    related: Tensor | None = None
    views: Tensor | None = None


class Draws(Dataset[Draw]):
    """`draws[step, index]` is batch `index` of a step."""

    def __init__(self, data: TrainingSet, config: TrainingConfig) -> None:
        self._data = data
        self._config = config

    def __getitem__(self, place: tuple[int, int]) -> Draw:
        return self.draw(*place, self._config.unconditioned_share)

    def draw(self, step: int, index: int, unconditioned_share: float) -> Draw:
        """With this share of batches without references, instead of the configuration's.

        A generator of their own draws the unusual crops: all else is the same at any `pattern_share`. Their entries
        stay those of the window; their related views show what the crop became, mirrored beyond its borders.
        """
        config, data = self._config, self._data
        generator = np.random.default_rng((config.seed, step, index))
        quality = float(generator.uniform(*config.qualities))
        crops = data.batch(generator, size=config.batch, crop=config.crop)
        crops = with_unusual(crops, config.pattern_share, generator.spawn(1)[0])
        if data.windows.entries is None or generator.random() < unconditioned_share:
            return Draw(crops, quality)
        entries = data.windows.entries[crops.rows]
        related = torch.zeros(entries.shape, dtype=torch.bool)
        chosen = np.flatnonzero(generator.random(len(crops.rows)) < config.related_share)
        if not len(chosen):
            return Draw(crops, quality, entries)
        others = data.windows.photo[generator.integers(len(data), size=len(chosen))]
        number = related.shape[1]
        views = []
        for i, other in zip(chosen, others, strict=True):
            place = crops.places[i]
            own, another = data.photos[place.photo].pixels, data.photos[other].pixels
            if crops.unusual[i]:
                own, place = crops.pixels[i], Place(place.photo, 0, 0, config.crop, 0, mirrored=False)
            slots = generator.permutation(number)[: generator.integers(1, number + 1)]
            related[i, slots] = True
            views += [related_view(own, place, another, generator) for _ in slots]
        return Draw(crops, quality, entries, related, torch.stack(views))

    def ahead(self, step: int, share: range, loaders: int) -> Iterator[Draw]:
        """The draws of `share` of every step from `step` on, without end.

        loaders: processes that draw; 0: this one does, when it is asked.
        """
        places = ((later, index) for later in itertools.count(step) for index in share)
        prefetched = _AHEAD if loaders else None
        return iter(DataLoader(self, None, sampler=places, num_workers=loaders, prefetch_factor=prefetched))
