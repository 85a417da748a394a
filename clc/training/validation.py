"""Measuring a model while it trains, on photos that were held out: estimated rates and PSNR, and a sheet to look at."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clc.model.conditioning.fusion import Features
from clc.model.network import CompressionModel, Reconstruction
from clc.model.tiles import TILE_SIZE, to_unit_range
from clc.training.checkpoint import Row
from clc.training.data.coded_views import coded
from clc.training.data.crops import CropPlace
from clc.training.data.decoded_photos import TrainingPhoto
from clc.training.data.reference_pool import ReferencePool
from clc.training.data.related_views import related_view

QUALITIES = (10.0, 40.0, 70.0, 100.0)
_OF_REFERENCES = 90.0  # what views are coded at


class Validation:
    """The middle tiles of held-out photos. Without references, so that runs with any dictionary can be compared; a
    network that fuses also with simulated related views, the same for all runs.
    """

    def __init__(self, photos: Sequence[TrainingPhoto]) -> None:
        self._photos = [photo.pixels for photo in photos if min(photo.pixels.shape[:2]) >= TILE_SIZE]
        self._tiles = torch.stack([_middle(pixels) for pixels in self._photos]) if self._photos else None

    @torch.no_grad()
    def measure(self, model: CompressionModel, step: int, sheet: Path, pool: ReferencePool | None = None) -> list[Row]:
        """A row for each quality; the originals beside their reconstructions go to `sheet` (PNG).

        pool: of a network that fuses, whose rows have `related_bpp` and `related_psnr` too.
        """
        if self._tiles is None:
            return []
        was_training = model.training
        model.eval()
        image = to_unit_range(self._tiles.to(model.device))
        related = None if pool is None or not model.config.fuses else self._related(model, pool)
        rows, columns = [], [image]
        for quality in QUALITIES:
            result = model(image, None, quality)
            assert result.image is not None
            columns.append(result.image.clamp(0.0, 1.0))
            row = {"step": float(step), "quality": quality} | _measured(result, image)
            if related is not None:
                references, features = related
                found = _measured(model(image, references, quality, features=features), image)
                row |= {f"related_{name}": value for name, value in found.items()}
            rows.append(row)
        model.train(was_training)
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_sheet(columns)).save(sheet)
        return rows

    def _related(self, model: CompressionModel, pool: ReferencePool) -> tuple[Tensor, Features]:
        """Views of every tile, coded alone as they are for decoders: their latents, and what fusion takes of them."""
        number = model.config.references
        generator = np.random.default_rng(0)
        views = torch.stack(
            [
                related_view(pixels, _place(pixels), self._photos[index - 1], generator)
                for index, pixels in enumerate(self._photos)
                for _ in range(number)
            ]
        )
        return pool.with_features(coded(model, views.to(model.device), _OF_REFERENCES), number)


def held_out(photos: Sequence[TrainingPhoto], number: int) -> NDArray[np.bool_]:
    """Which photos [photos] to keep out of training: `number` of them, the same whatever their order.

    At most a fifth, so that a small collection still trains.
    """
    number = min(number, math.floor(len(photos) / 5))
    chosen = np.zeros(len(photos), dtype=bool)
    chosen[np.argsort([photo.sha256 for photo in photos], kind="stable")[:number]] = True
    return chosen


def _place(pixels: Tensor) -> CropPlace:
    """The middle tile of a photo, as it is."""
    top, left = ((side - TILE_SIZE) // 2 for side in pixels.shape[:2])
    return CropPlace(0, left, top, TILE_SIZE, 0, mirrored=False)


def _middle(pixels: Tensor) -> Tensor:
    place = _place(pixels)
    return pixels[place.y : place.y + TILE_SIZE, place.x : place.x + TILE_SIZE]


def _measured(result: Reconstruction, image: Tensor) -> Row:
    assert result.image is not None
    mse = ((result.image.clamp(0.0, 1.0) - image) ** 2).mean(dim=(1, 2, 3))
    return {
        "bpp": float(result.bits.sum()) / image[:, 0].numel(),
        "psnr": float((-10.0 * torch.log10(mse.clamp(min=1e-10))).mean()),
    }


def _sheet(columns: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Images [n, 3, s, s] of every column side by side, row by row: uint8 [n·s, columns·s, 3]."""
    grid = torch.stack(list(columns), dim=1).permute(0, 3, 1, 4, 2)  # [n, s, columns, s, 3]
    pixels: NDArray[np.uint8] = (grid.flatten(2, 3).flatten(0, 1) * 255.0).round().byte().cpu().numpy()
    return pixels
