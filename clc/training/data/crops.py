"""Training crops, and batches that depend on nothing but the generator they are drawn with."""

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
class Place:
    """A square of a photo in one of eight orientations.

    x, y, size: in pixels of photo `photo`; turns: quarter turns counter-clockwise, then `mirrored` left to right.
    """

    photo: int
    x: int
    y: int
    size: int
    turns: int
    mirrored: bool


@dataclass(frozen=True)
class Batch:
    """One step's crops: pixels uint8 [B, s, s, 3], where each was cut, and its row in the windows int64 [B].

    unusual: bool [B], which are no longer what is at their place (`clc.training.data.unusual_crops`).
    """

    pixels: Tensor
    places: list[Place]
    rows: NDArray[np.int64]
    unusual: NDArray[np.bool_]


class TrainingSet:
    """Photos with the windows that crops are cut around."""

    def __init__(self, photos: Sequence[TrainingPhoto], windows: Windows) -> None:
        self.photos = photos
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, generator: np.random.Generator, *, size: int, crop: int) -> Batch:
        """`size` crops of crop × crop pixels, turned and mirrored at random, around windows drawn with replacement.

        A crop is shifted against its window by up to half of it, so that tiles are seen at any position.
        """
        rows = generator.integers(len(self), size=size)
        shifts = generator.integers(-TILE_SIZE // 2, TILE_SIZE // 2 + TILE_SIZE - crop + 1, size=(size, 2))
        turns = generator.integers(4, size=size)
        mirrored = generator.random(size) < 0.5
        places = []
        for i, row in enumerate(rows):
            photo = int(self.windows.photo[row])
            height, width = self.photos[photo].pixels.shape[:2]
            x = int(np.clip(self.windows.x[row] + shifts[i, 0], 0, width - crop))
            y = int(np.clip(self.windows.y[row] + shifts[i, 1], 0, height - crop))
            places.append(Place(photo, x, y, crop, int(turns[i]), bool(mirrored[i])))
        pixels = torch.stack([self.pixels(place) for place in places])
        return Batch(pixels, places, rows, np.zeros(size, dtype=bool))

    def pixels(self, place: Place) -> Tensor:
        """What is at a place: uint8 [s, s, 3]."""
        photo = self.photos[place.photo].pixels
        square = photo[place.y : place.y + place.size, place.x : place.x + place.size]
        turned = torch.rot90(square, place.turns, (0, 1))
        return turned.flip(1) if place.mirrored else turned
