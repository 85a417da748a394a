"""What each step trains on, drawn where the model is: nothing is copied there and no process is waited for."""

import numpy as np
import torch
from torch import Tensor

from clc.images.patterns import PATTERNS, draw_pattern
from clc.model.tiles import TILE_SIZE
from clc.training.config import TrainingConfig
from clc.training.data.batches import TrainingBatch
from clc.training.data.crops import TrainingSet
from clc.training.data.device_photos import DevicePhotos, DevicePlaces
from clc.training.data.device_views import draw_views

_PATTERNS_EACH = 8  # pictures of each pattern that are kept
_ALONE_SHARE = 2 / 3  # of the unusual crops that are a pattern alone; it lies over a part of the others


class DeviceBatches:
    """Batches of the same kind as `TrainingBatches` has, with other random numbers: the device's own generator draws,
    so whoever wants the same batch again sets its seed before.

    Every crop has a tensor of its own for its quality, also where all are the same. Unusual crops are patterns; none is
    out of focus or oversaturated. Shapes depend on nothing that is drawn.

    only_views: as for `TrainingBatches`.
    """

    def __init__(
        self, data: TrainingSet, config: TrainingConfig, device: torch.device, only_views: bool = False
    ) -> None:
        self._config = config
        self._only_views = only_views
        self._device = device
        windows = data.windows
        pixels = [photo.pixels for photo in data.photos]
        self.photos = DevicePhotos(pixels, device, slots=config.batch, slot_size=config.crop)
        self._windows = torch.from_numpy(np.stack([windows.photo, windows.x, windows.y])).to(device)
        self._entries = None if windows.entries is None else torch.from_numpy(windows.entries).to(device)
        self._patterns = _patterns(config).to(device) if config.pattern_share else None

    def draw(self, conditioned: bool) -> TrainingBatch:
        """The next batch; conditioned: with references."""
        config = self._config
        rows = torch.randint(self._windows.shape[1], (config.batch,), device=self._device)
        places = self._places(rows)
        crops = self.photos.crops(places)
        unusual = torch.zeros(config.batch, dtype=torch.bool, device=self._device)
        if self._patterns is not None:
            unusual = torch.rand(config.batch, device=self._device) < config.pattern_share
            crops = torch.where(unusual[:, None, None, None], self._with_patterns(self._patterns, crops), crops)
        low, high = config.qualities
        drawn = torch.rand(config.batch if config.quality_per_crop else 1, device=self._device)
        quality = (low + (high - low) * drawn).expand(config.batch)
        if not conditioned:
            return TrainingBatch(crops, places, unusual, quality)
        assert self._entries is not None
        entries = self._entries[rows]
        return TrainingBatch(
            crops,
            places,
            unusual,
            quality,
            entries,
            self._related(entries),
            self._views(places, crops, unusual, entries),
        )

    def _places(self, rows: Tensor) -> DevicePlaces:
        """Around windows [B], as `TrainingSet.draw_places` has them."""
        number, crop = len(rows), self._config.crop
        photo, x, y = self._windows[:, rows]
        shifts = torch.randint(-TILE_SIZE // 2, TILE_SIZE // 2 + TILE_SIZE - crop + 1, (2, number), device=rows.device)
        x, y = (
            torch.minimum((first + shift).clamp(min=0), size[photo] - crop)
            for first, shift, size in ((x, shifts[0], self.photos.width), (y, shifts[1], self.photos.height))
        )
        turns = torch.randint(4, (number,), device=rows.device)
        return DevicePlaces(photo, x, y, turns, torch.rand(number, device=rows.device) < 0.5, crop)

    def _with_patterns(self, patterns: Tensor, crops: Tensor) -> Tensor:
        """Every crop uint8 [B, s, s, 3] as a pattern, or with one over a part of it, opaque or translucent."""
        number, size = crops.shape[:2]
        device = crops.device
        pattern = patterns[torch.randint(len(patterns), (number,), device=device)].float()
        u = torch.rand(4, number, 1, 1, 1, device=device)
        span = torch.arange(size, device=device) - size / 2
        angle = 2 * torch.pi * u[0]
        across = torch.cos(angle) * span[None, None, :, None] + torch.sin(angle) * span[None, :, None, None]
        alone = torch.rand(number, 1, 1, 1, device=device) < _ALONE_SHARE
        strength = torch.where(alone | (u[2] < 0.5), 1.0, 0.2 + 0.8 * u[3])
        inside = alone | (across < (0.5 * u[1] - 0.25) * size)
        return torch.lerp(crops.float(), pattern, strength * inside).round().to(torch.uint8)

    def _related(self, entries: Tensor) -> Tensor:
        """Which references [B, M] are replaced: of a share of the crops one, some or all."""
        number, most = entries.shape
        device = entries.device
        order = torch.rand(number, most, device=device).argsort(dim=1)
        chosen = order < torch.randint(1, most + 1, (number, 1), device=device)
        related = chosen & (torch.rand(number, 1, device=device) < self._config.related_share)
        return torch.ones_like(related) if self._only_views else related

    def _views(self, places: DevicePlaces, crops: Tensor, unusual: Tensor, entries: Tensor) -> Tensor:
        """A view for each of all references, [B·M, 256, 256, 3]; of an unusual crop they show what it became."""
        itself = self.photos.put(crops)
        x, y, turns = (torch.where(unusual, 0, each) for each in (places.x, places.y, places.turns))
        photo = torch.where(unusual, itself, places.photo)
        shown = DevicePlaces(photo, x, y, turns, places.mirrored & ~unusual, places.size)
        return draw_views(self.photos, shown.repeated(entries.shape[1]))


def _patterns(config: TrainingConfig) -> Tensor:
    """Some of every pattern, uint8 [n, s, s, 3]."""
    pictures = [
        draw_pattern(name, np.random.default_rng((config.seed, number, variant)), config.crop)
        for number, name in enumerate(PATTERNS)
        for variant in range(_PATTERNS_EACH)
    ]
    return torch.from_numpy(np.stack(pictures))
