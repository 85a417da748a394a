"""Where training crops are cut, which depends on nothing but the generator that the places are drawn with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.model.tiles import TILE_SIZE
from clc.training.data.decoded_photos import TrainingPhoto
from clc.training.data.windows import Windows


@dataclass(frozen=True)
class CropPlace:
    """A square of a photo in one of eight orientations.

    x, y, size: in pixels of photo `photo`; turns: quarter turns counter-clockwise, then `mirrored` left to right.
    """

    photo: int
    x: int
    y: int
    size: int
    turns: int
    mirrored: bool


class TrainingSet:
    """Photos with the windows that crops are cut around."""

    def __init__(self, photos: Sequence[TrainingPhoto], windows: Windows) -> None:
        self.photos = photos
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def draw_places(
        self, generator: np.random.Generator, *, number: int, crop: int
    ) -> tuple[NDArray[np.int64], list[CropPlace]]:
        """Windows int64 [number], drawn with replacement, and a place of crop × crop pixels around each.

        A place is shifted against its window by up to half of it, so that tiles are seen at any position, and turned
        and mirrored at random.
        """
        rows = generator.integers(len(self), size=number)
        shifts = generator.integers(-TILE_SIZE // 2, TILE_SIZE // 2 + TILE_SIZE - crop + 1, size=(number, 2))
        turns = generator.integers(4, size=number)
        mirrored = generator.random(number) < 0.5
        places = []
        for i, row in enumerate(rows):
            photo = int(self.windows.photo[row])
            height, width = self.photos[photo].pixels.shape[:2]
            x = int(np.clip(self.windows.x[row] + shifts[i, 0], 0, width - crop))
            y = int(np.clip(self.windows.y[row] + shifts[i, 1], 0, height - crop))
            places.append(CropPlace(photo, x, y, crop, int(turns[i]), bool(mirrored[i])))
        return rows, places

    def crops(self, places: Sequence[CropPlace]) -> Tensor:
        """What is at each place: uint8 [B, s, s, 3]."""
        return torch.stack([self.pixels(place) for place in places])

    def pixels(self, place: CropPlace) -> Tensor:
        """What is at a place: uint8 [s, s, 3]."""
        photo = self.photos[place.photo].pixels
        square = photo[place.y : place.y + place.size, place.x : place.x + place.size]
        turned = torch.rot90(square, place.turns, (0, 1))
        return turned.flip(1) if place.mirrored else turned
