"""Measuring a model while it trains, on photos that were held out: estimated rates and PSNR, and a sheet to look at."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clc.model.network import CompressionModel
from clc.model.tiles import TILE_SIZE, to_unit_range
from clc.training.checkpoint import Row
from clc.training.data.decoded_photos import TrainingPhoto

QUALITIES = (10.0, 40.0, 70.0, 100.0)


class Validation:
    """The middle tiles of held-out photos. Without references, so that runs with any dictionary can be compared."""

    def __init__(self, photos: Sequence[TrainingPhoto]) -> None:
        tiles = [_middle(photo.pixels) for photo in photos if min(photo.pixels.shape[:2]) >= TILE_SIZE]
        self._tiles = torch.stack(tiles) if tiles else None

    @torch.no_grad()
    def measure(self, model: CompressionModel, step: int, sheet: Path) -> list[Row]:
        """A row for each quality; the originals beside their reconstructions go to `sheet` (PNG)."""
        if self._tiles is None:
            return []
        was_training = model.training
        model.eval()
        image = to_unit_range(self._tiles.to(model.device))
        rows, columns = [], [image]
        for quality in QUALITIES:
            result = model(image, None, quality)
            assert result.image is not None
            columns.append(result.image.clamp(0.0, 1.0))
            mse = ((columns[-1] - image) ** 2).mean(dim=(1, 2, 3))
            rows.append(
                {
                    "step": float(step),
                    "quality": quality,
                    "bpp": float(result.bits.sum()) / image[:, 0].numel(),
                    "psnr": float((-10.0 * torch.log10(mse.clamp(min=1e-10))).mean()),
                }
            )
        model.train(was_training)
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_sheet(columns)).save(sheet)
        return rows


def held_out(photos: Sequence[TrainingPhoto], number: int) -> NDArray[np.bool_]:
    """Which photos [photos] to keep out of training: `number` of them, the same whatever their order.

    At most a fifth, so that a small collection still trains.
    """
    number = min(number, math.floor(len(photos) / 5))
    chosen = np.zeros(len(photos), dtype=bool)
    chosen[np.argsort([photo.sha256 for photo in photos], kind="stable")[:number]] = True
    return chosen


def _middle(pixels: Tensor) -> Tensor:
    top, left = ((side - TILE_SIZE) // 2 for side in pixels.shape[:2])
    return pixels[top : top + TILE_SIZE, left : left + TILE_SIZE]


def _sheet(columns: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Images [n, 3, s, s] of every column side by side, row by row: uint8 [n·s, columns·s, 3]."""
    grid = torch.stack(list(columns), dim=1).permute(0, 3, 1, 4, 2)  # [n, s, columns, s, 3]
    pixels: NDArray[np.uint8] = (grid.flatten(2, 3).flatten(0, 1) * 255.0).round().byte().cpu().numpy()
    return pixels
