"""Photos that are kept where the model is: crops and views are gathered there, whole batches at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from clc.errors import TrainingError
from clc.training.data.crops import CropPlace


@dataclass(frozen=True)
class DevicePlaces(Sequence[CropPlace]):
    """Places of B crops: int64 [B] each, bool for `mirrored`. To look at one waits for the device."""

    photo: Tensor
    x: Tensor
    y: Tensor
    turns: Tensor
    mirrored: Tensor
    size: int

    @classmethod
    def of(cls, places: Sequence[CropPlace], device: torch.device) -> "DevicePlaces":
        """Places of one size."""
        columns = {
            name: torch.tensor([getattr(place, name) for place in places], device=device)
            for name in ("photo", "x", "y", "turns", "mirrored")
        }
        return cls(**columns, size=places[0].size)

    def __len__(self) -> int:
        return len(self.photo)

    @overload
    def __getitem__(self, index: int) -> CropPlace: ...
    @overload
    def __getitem__(self, index: slice) -> list[CropPlace]: ...
    def __getitem__(self, index: int | slice) -> CropPlace | list[CropPlace]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        photo, x, y = (int(each[index]) for each in (self.photo, self.x, self.y))
        return CropPlace(photo, x, y, self.size, int(self.turns[index]), bool(self.mirrored[index]))

    def repeated(self, times: int) -> "DevicePlaces":
        """Each place so many times in a row."""
        columns = (self.photo, self.x, self.y, self.turns, self.mirrored)
        photo, x, y, turns, mirrored = (each.repeat_interleave(times) for each in columns)
        return DevicePlaces(photo, x, y, turns, mirrored, self.size)

    def in_photo(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns [B, h, w] (or [1, h, w] for all) of the crops as they are turned and mirrored → those of
        their photos.
        """
        last = self.size - 1
        mirrored, turns = self.mirrored[:, None, None], self.turns[:, None, None]
        column = torch.where(mirrored, last - column, column)
        across = turns % 2 == 1
        row, column = torch.where(across, column, row), torch.where(across, last - row, column)
        half = turns >= 2
        row, column = torch.where(half, last - row, row), torch.where(half, last - column, column)
        return row + self.y[:, None, None], column + self.x[:, None, None]


class DevicePhotos:
    """All photos in one tensor uint8 [pixels, 3], and room behind them for crops that are photos of their own.

    Attributes height, width: int64 [photos + slots]; the slots come last.
    """

    def __init__(self, photos: Sequence[Tensor], device: torch.device, *, slots: int = 0, slot_size: int = 0) -> None:
        """slots: crops of slot_size² pixels that `put` can keep. Raises TrainingError if memory does not suffice."""
        sizes = torch.tensor([photo.shape[:2] for photo in photos] + [(slot_size, slot_size)] * slots)
        areas = sizes.prod(dim=1)
        pixels = int(areas.sum())
        try:
            self._pixels = torch.zeros(pixels, 3, dtype=torch.uint8, device=device)
        except RuntimeError as error:  # what PyTorch raises where memory ends
            raise TrainingError(
                f"{len(photos)} photos take {3 * pixels / 1e9:.1f} GB on {device}, which is not there; "
                'train on fewer, or with drawing = "host"'
            ) from error
        self.height, self.width = (column.contiguous().to(device) for column in sizes.T)
        self._start = (torch.cumsum(areas, 0) - areas).to(device)
        end = 0
        for photo in photos:
            area = photo.shape[0] * photo.shape[1]
            self._pixels[end : end + area] = photo.reshape(area, 3).to(device)
            end += area
        self._slots = self._pixels[end:].view(slots, slot_size, slot_size, 3)
        self._photos = len(photos)

    def put(self, crops: Tensor) -> Tensor:
        """Keep crops uint8 [slots, s, s, 3] as photos, in place of those before; their numbers int64 [slots]."""
        self._slots.copy_(crops)
        return torch.arange(self._photos, len(self.height), device=crops.device)

    def crops(self, places: DevicePlaces) -> Tensor:
        """What is at each place: uint8 [B, s, s, 3], to the pixel what `TrainingSet.crops` has."""
        span = torch.arange(places.size, device=self.height.device)
        row, column = places.in_photo(span[None, :, None], span[None, None, :])
        return self._at(places.photo, row, column)

    def sample(self, photo: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Bilinear samples float32 [n, h, w, 3] of photos [n] at coordinates [n, h, w]; beyond borders they are
        reflected.
        """
        row, column = (
            _reflected(place, size[photo][:, None, None] - 1)
            for place, size in ((row, self.height), (column, self.width))
        )
        top, left = row.floor(), column.floor()
        down, right = (row - top)[..., None], (column - left)[..., None]
        top, left = top.long(), left.long()
        below = torch.minimum(top + 1, self.height[photo][:, None, None] - 1)
        beside = torch.minimum(left + 1, self.width[photo][:, None, None] - 1)
        upper = torch.lerp(self._at(photo, top, left).float(), self._at(photo, top, beside).float(), right)
        lower = torch.lerp(self._at(photo, below, left).float(), self._at(photo, below, beside).float(), right)
        return torch.lerp(upper, lower, down)

    def _at(self, photo: Tensor, row: Tensor, column: Tensor) -> Tensor:
        index = (self._start[photo][:, None, None] + row * self.width[photo][:, None, None]) + column
        return self._pixels.index_select(0, index.flatten()).view(*index.shape, 3)


def _reflected(coordinate: Tensor, last: Tensor) -> Tensor:
    folded = torch.remainder(coordinate, 2 * last)
    return torch.where(folded > last, 2 * last - folded, folded)
