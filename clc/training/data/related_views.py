"""Simulated related references: what another photo of the same scene would have shown.

General photos hardly ever have a related entry in the dictionary, and a codec that never meets one learns to ignore
references. So some references of a batch are replaced by a view of the crop's own surroundings, as a fixed, a shaken or
a moved camera would have taken it: shifted, warped, re-lit, noisy and partly covered by something else. Light changes
from place to place, too, as between two photos of a fixed camera (docs/results.md has what that changed).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clc.model.tiles import TILE_SIZE
from clc.training.data.crops import CropPlace

SHAKE = 4.0  # largest standard deviation of a shaken camera's shift, in pixels
MOVE = 48.0  # largest shift of a moved camera, in pixels
ROTATION = math.radians(2.0)
ZOOM = 0.03
GAIN, CHANNEL_GAIN, OFFSET = 0.15, 0.03, 10.0  # at most
LOCAL_GAIN, LOCAL_OFFSET = 0.08, 6.0  # likewise, of what differs from place to place
_FINEST_FIELD = 8  # places along each side between which the light may change
NOISE = 4.0  # largest standard deviation, in 8-bit levels
COVERED_SHARE = 0.5  # of views that something else partly covers


@dataclass(frozen=True)
class Motion:
    """How a view's camera stood: rotation (radians) and zoom about the tile's centre, then a shift in pixels."""

    rotation: float = 0.0
    zoom: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


def random_motion(generator: np.random.Generator) -> Motion:
    """Half fixed cameras, a quarter shaken ones, a quarter moved ones."""
    case = generator.integers(4)
    if case < 2:
        return Motion()
    if case == 2:
        dx, dy = generator.normal(0.0, SHAKE * generator.random(), size=2)
        return Motion(dx=dx, dy=dy)
    dx, dy = generator.uniform(-MOVE, MOVE, size=2)
    return Motion(generator.uniform(-ROTATION, ROTATION), 1 + generator.uniform(-ZOOM, ZOOM), dx, dy)


def related_view(photo: Tensor, place: CropPlace, other: Tensor, generator: np.random.Generator) -> Tensor:
    """A related reference of the crop at `place`: uint8 [256, 256, 3] on the photos' device.

    photo: the crop's own, uint8 [H, W, 3]; other: the photo that covering things are taken from.
    A crop smaller than a tile lies in its first corner, as in the codec.
    """
    pixels = moved_view(photo, place, random_motion(generator))
    change = generator.random() ** 2  # of the light: most often a small one
    gain = 1 + change * (generator.uniform(-GAIN, GAIN) + generator.uniform(-CHANNEL_GAIN, CHANNEL_GAIN, size=3))
    offset = change * generator.uniform(-OFFSET, OFFSET)
    local_gain, local_offset = generator.random(2) ** 2 * (LOCAL_GAIN, LOCAL_OFFSET)
    pixels = pixels * (torch.from_numpy(gain).to(pixels) + local_gain * _field(generator).to(pixels))
    pixels = pixels + offset + local_offset * _field(generator).to(pixels)
    deviation = np.float32(NOISE * generator.random() ** 2)
    noise = generator.standard_normal(pixels.shape, dtype=np.float32) * deviation
    pixels = pixels + torch.from_numpy(noise).to(pixels)
    if generator.random() < COVERED_SHARE:
        _cover(pixels, other, generator)
    return pixels.round().clamp(0, 255).to(torch.uint8)


def _field(generator: np.random.Generator) -> Tensor:
    """A smooth function of the place, about −1 to 1: float32 [256, 256, 1]."""
    side = int(generator.integers(2, _FINEST_FIELD + 1))
    corners = torch.from_numpy(generator.uniform(-1.0, 1.0, size=(1, 1, side, side)).astype(np.float32))
    size = (TILE_SIZE, TILE_SIZE)
    return F.interpolate(corners, size, mode="bicubic", align_corners=True)[0].permute(1, 2, 0)


def moved_view(photo: Tensor, place: CropPlace, motion: Motion) -> Tensor:
    """float32 [256, 256, 3] levels: the tile whose first corner is the crop, seen by a camera that moved.

    Beyond the photo's borders its mirror image continues.
    """
    span = torch.arange(TILE_SIZE, dtype=torch.float32, device=photo.device)
    row, column = torch.meshgrid(span, span, indexing="ij")
    centre = (TILE_SIZE - 1) / 2
    cos, sin = motion.zoom * math.cos(motion.rotation), motion.zoom * math.sin(motion.rotation)
    row, column = (
        centre + cos * (row - centre) + sin * (column - centre) + motion.dy,
        centre - sin * (row - centre) + cos * (column - centre) + motion.dx,
    )
    # Undo the orientation: a pixel of the turned and mirrored crop → the pixel of the photo that it came from.
    last = place.size - 1
    if place.mirrored:
        column = last - column
    for _ in range(place.turns):
        row, column = column, last - row
    return _sample(photo, row + place.y, column + place.x)


def _sample(photo: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Bilinear samples float32 [h, w, 3] of uint8 [H, W, 3]; coordinates beyond the borders are reflected."""
    row, column = (_reflect(c, size - 1) for c, size in ((row, photo.shape[0]), (column, photo.shape[1])))
    top, left = int(row.min()), int(column.min())
    part = photo[top : int(row.max()) + 2, left : int(column.max()) + 2].permute(2, 0, 1)[None].float()
    height, width = part.shape[-2:]
    grid = torch.stack([2 * (column - left) / max(width - 1, 1) - 1, 2 * (row - top) / max(height - 1, 1) - 1], dim=-1)
    sampled = F.grid_sample(part, grid[None], mode="bilinear", padding_mode="border", align_corners=True)
    return sampled[0].permute(1, 2, 0)


def _reflect(coordinate: Tensor, last: int) -> Tensor:
    folded = torch.remainder(coordinate, 2 * last) if last else torch.zeros_like(coordinate)
    return torch.where(folded > last, 2 * last - folded, folded)


def _cover(pixels: Tensor, other: Tensor, generator: np.random.Generator) -> None:
    """Paste a rectangle of another photo, in place."""
    height, width = (int(n) for n in generator.integers(16, TILE_SIZE // 2, size=2))
    top, left = int(generator.integers(TILE_SIZE - height)), int(generator.integers(TILE_SIZE - width))
    y, x = int(generator.integers(other.shape[0] - height + 1)), int(generator.integers(other.shape[1] - width + 1))
    pixels[top : top + height, left : left + width] = other[y : y + height, x : x + width]
