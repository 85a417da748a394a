"""What each step trains on, prepared ahead by other processes where there are cores to spare.

A batch follows from the seed, the step and its number within the step, so it does not matter which process draws it.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clc.training.config import TrainingConfig
from clc.training.data.crops import CropPlace, TrainingSet
from clc.training.data.loaders import started
from clc.training.data.related_views import related_view
from clc.training.data.unusual_crops import with_unusual


@dataclass(frozen=True)
class TrainingBatch:
    """Crops, the quality that they are coded at, and what becomes their references.

    pixels: uint8 [B, s, s, 3]; places: where each was cut; unusual: bool [B], which are no longer what is at their
    place (`clc.training.data.unusual_crops`).
    quality: of all crops, or float32 [B].
    entries: of the dictionary, int64 [B, M], None to code without references; related: bool [B, M], which of them are
    replaced by `views`, uint8 [n, 256, 256, 3], in the order of the rows; or [B·M, 256, 256, 3], one for each of all.
    """

    pixels: Tensor
    places: Sequence[CropPlace]
    unusual: Tensor
    quality: float | Tensor
    entries: Tensor | None = None
    related: Tensor | None = None
    views: Tensor | None = None

    def to(self, device: torch.device) -> "TrainingBatch":
        """With all tensors on a device."""
        moved: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        moved = {name: each.to(device) if isinstance(each, Tensor) else each for name, each in moved.items()}
        return TrainingBatch(**moved)


class TrainingBatches(Dataset[TrainingBatch]):
    """`batches[step, index]` is batch `index` of a step.

    only_views: all references are simulated, since a network that fuses takes their pictures.
    """

    def __init__(self, data: TrainingSet, config: TrainingConfig, only_views: bool = False) -> None:
        self._data = data
        self._config = config
        self._only_views = only_views

    def __getitem__(self, which: tuple[int, int]) -> TrainingBatch:
        return self.draw(*which, self._config.unconditioned_share)

    def draw(self, step: int, index: int, unconditioned_share: float) -> TrainingBatch:
        """With this share of batches without references, instead of the configuration's.

        A generator of their own draws the unusual crops: all else is the same at any `pattern_share`. Their entries
        stay those of the window; their related views show what the crop became, mirrored beyond its borders.
        """
        config, data = self._config, self._data
        generator = np.random.default_rng((config.seed, step, index))
        quality: float | Tensor = float(generator.uniform(*config.qualities))
        rows, places = data.draw_places(generator, number=config.batch, crop=config.crop)
        pixels, unusual = with_unusual(data.crops(places), config.pattern_share, generator.spawn(1)[0])
        if config.quality_per_crop:
            own = generator.spawn(1)[0].uniform(*config.qualities, size=config.batch)
            quality = torch.from_numpy(own).float()
        batch = TrainingBatch(pixels, places, torch.from_numpy(unusual), quality)
        if data.windows.entries is None or generator.random() < unconditioned_share:
            return batch
        batch = replace(batch, entries=torch.from_numpy(data.windows.entries[rows]))
        return self._with_related_views(batch, generator)

    def upcoming(self, step: int, share: range, loaders: int) -> Iterator[TrainingBatch]:
        """The batches of `share` of every step from `step` on, without end.

        loaders: processes that draw; 0: this one does, when it is asked.
        """
        order = ((later, index) for later in itertools.count(step) for index in share)
        return started(self, order, loaders) if loaders else iter(DataLoader(self, None, sampler=order))

    def _with_related_views(self, batch: TrainingBatch, generator: np.random.Generator) -> TrainingBatch:
        """A share of the crops gets one, some or all of its references simulated."""
        assert batch.entries is not None
        config, data = self._config, self._data
        related = torch.zeros(batch.entries.shape, dtype=torch.bool)
        chosen = np.flatnonzero((generator.random(len(related)) < config.related_share) | self._only_views)
        if not len(chosen):
            return batch
        others = data.windows.photo[generator.integers(len(data), size=len(chosen))]
        number = related.shape[1]
        views = []
        for i, other in zip(chosen, others, strict=True):
            place = batch.places[i]
            own, another = data.photos[place.photo].pixels, data.photos[other].pixels
            if batch.unusual[i]:
                own, place = batch.pixels[i], CropPlace(place.photo, 0, 0, config.crop, 0, mirrored=False)
            slots = np.arange(number)
            if not self._only_views:
                slots = generator.permutation(number)[: generator.integers(1, number + 1)]
            related[i, slots] = True
            views += [related_view(own, place, another, generator) for _ in slots]
        return replace(batch, related=related, views=torch.stack(views))
