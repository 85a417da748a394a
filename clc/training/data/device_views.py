"""Simulated related references, whole batches at once where the model is: the same world as `related_views` has.

Shapes do not depend on what is drawn and nothing waits for the device, so that a step can be captured as a graph.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from clc.model.tiles import TILE_SIZE
from clc.training.data import related_views as world
from clc.training.data.device_photos import DevicePhotos, DevicePlaces

_FIELD_SIDES = (2, 4, 8)  # places along each side between which the light may change


def draw_views(photos: DevicePhotos, places: DevicePlaces) -> Tensor:
    """A related view of each place: uint8 [n, 256, 256, 3], drawn with the device's own generator.

    What covers a part of some is a part of the view before. A crop smaller than a tile lies in its first corner.
    """
    number, device = len(places), places.photo.device
    pixels = moved_views(photos, places, _motions(number, device))
    change = _uniform(number, device) ** 2  # of the light: most often a small one
    gain = 1 + change * (
        world.GAIN * _signed(number, device) + world.CHANNEL_GAIN * _signed(number, device, channels=3)
    )
    local_gain, local_offset = (
        limit * _uniform(number, device) ** 2 for limit in (world.LOCAL_GAIN, world.LOCAL_OFFSET)
    )
    pixels = pixels * (gain + local_gain * _fields(number, device))
    pixels = pixels + change * world.OFFSET * _signed(number, device) + local_offset * _fields(number, device)
    pixels = pixels + world.NOISE * _uniform(number, device) ** 2 * torch.randn_like(pixels)
    covered = torch.where(_covers(number, device)[..., None], pixels.roll(1, 0), pixels)
    return covered.round().clamp(0, 255).to(torch.uint8)


def moved_views(photos: DevicePhotos, places: DevicePlaces, motions: Tensor) -> Tensor:
    """float32 [n, 256, 256, 3] levels: the tiles whose first corners are the crops, seen by cameras that moved.

    motions: float32 [n, 4], rotation, zoom, dx and dy of `Motion`.
    """
    centre = (TILE_SIZE - 1) / 2
    span = torch.arange(TILE_SIZE, dtype=torch.float32, device=motions.device) - centre
    row, column = span[None, :, None], span[None, None, :]
    rotation, zoom, dx, dy = (each[:, None, None] for each in motions.T)
    cos, sin = zoom * torch.cos(rotation), zoom * torch.sin(rotation)
    moved_row = centre + cos * row + sin * column + dy
    moved_column = centre - sin * row + cos * column + dx
    return photos.sample(places.photo, *places.in_photo(moved_row, moved_column))


def _motions(number: int, device: torch.device) -> Tensor:
    """Half fixed cameras, a quarter shaken ones, a quarter moved ones: [n, 4]."""
    case, strength = torch.rand(2, number, device=device)
    rotation, zoom, *jump = 2 * torch.rand(4, number, device=device) - 1
    shift = world.SHAKE * strength * torch.randn(2, number, device=device)
    shaken, moved = (case >= 0.5) & (case < 0.75), case >= 0.75
    dx, dy = (shake * shaken + world.MOVE * move * moved for shake, move in zip(shift, jump, strict=True))
    return torch.stack([world.ROTATION * rotation * moved, 1 + world.ZOOM * zoom * moved, dx, dy], dim=1)


def _fields(number: int, device: torch.device) -> Tensor:
    """Smooth functions of the place, about −1 to 1: float32 [n, 256, 256, 1]."""
    size = (TILE_SIZE, TILE_SIZE)
    choice = torch.randint(len(_FIELD_SIDES), (number, 1, 1, 1), device=device)
    field = torch.zeros(number, 1, *size, device=device)
    for i, side in enumerate(_FIELD_SIDES):
        corners = 2 * torch.rand(number, 1, side, side, device=device) - 1
        smooth = F.interpolate(corners, size, mode="bicubic", align_corners=True)
        field = torch.where(choice == i, smooth, field)
    return field.permute(0, 2, 3, 1)


def _covers(number: int, device: torch.device) -> Tensor:
    """A rectangle in a share of the views, nothing in the others: bool [n, 256, 256]."""
    inside = torch.rand(number, 1, 1, device=device) < world.COVERED_SHARE
    for axis in ((None, slice(None), None), (None, None, slice(None))):
        at = torch.arange(TILE_SIZE, device=device)[axis]
        side = 16 + torch.rand(number, 1, 1, device=device) * (TILE_SIZE / 2 - 16)
        first = torch.rand(number, 1, 1, device=device) * (TILE_SIZE - side)
        inside = inside & (at >= first) & (at < first + side)
    return inside


def _uniform(number: int, device: torch.device) -> Tensor:
    return torch.rand(number, 1, 1, 1, device=device)


def _signed(number: int, device: torch.device, channels: int = 1) -> Tensor:
    return 2 * torch.rand(number, 1, 1, channels, device=device) - 1
