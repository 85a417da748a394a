"""Simulated photos of one scene: one to be coded, and views that it refers to, as an encoder has aligned them.

Training photos hardly ever show one scene twice. So one photo is taken several times, each time with its own noise,
JPEG coding, light, focus and passers-by. Most photos are made smaller first: their own noise would be in all of them.
"""

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clc.model.tiles import TILE_SIZE

_MARGIN = 8  # pixels around a scene, for cameras that moved
_SIDE = TILE_SIZE + 2 * _MARGIN
SMALLEST_PHOTO = _SIDE
_IN_FOUR = 0.6  # share of scenes put together from four parts, which can be made smaller in small photos, too
_SMALLEST = 2.5  # times smaller than the photo, at most
_NOISE = 6.0  # largest standard deviation, in 8-bit levels
_SAME_CAMERA = 0.7  # share of views whose noise is as strong as the photo's
_JPEG, _JPEG_QUALITIES = 0.7, range(70, 98)
_MOVED, _SHIFT = 0.45, 0.5  # share of views that are not in line, and the standard deviation of their shift
_FAR_MOVED, _FAR = 0.15, 2.5  # share of views, among those, that are further away, and likewise
_SWAYING, _SWAY = 0.4, 8.0  # share of views in which something sways, and the largest way in pixels
_OUT_OF_FOCUS = 0.2
_PASSERS_BY = (0, 0, 1, 1, 2, 3)  # how many cover part of a photo
_GAIN, _OFFSET = 0.08, 8.0  # at most, of light that differs from place to place


@dataclass(frozen=True)
class Shots:
    """photo: uint8 [256, 256, 3]; views: uint8 [K, 256, 256, 3]."""

    photo: NDArray[np.uint8]
    views: NDArray[np.uint8]


def shots(photo: NDArray[np.uint8], other: NDArray[np.uint8], views: int, draw: np.random.Generator) -> Shots:
    """A scene of one tile out of uint8 [H, W, 3], no side below SMALLEST_PHOTO, photographed 1 + `views` times.

    other: a photo that what covers parts of it is taken from.
    """
    scene = _scene(photo, draw)
    noise = _NOISE * draw.random() ** 2
    is_jpeg = draw.random() < _JPEG
    taken = _cropped(scene)
    shot = _taken(_covered(taken, other, draw), noise, is_jpeg, draw)
    seen = []
    for _ in range(views):
        view = _moved(scene, draw)
        own = noise if draw.random() < _SAME_CAMERA else _NOISE * draw.random() ** 2
        view = _covered(_lit(view, draw), other, draw)
        if draw.random() < _OUT_OF_FOCUS:
            view = _blurred(view, draw.uniform(0.3, 1.0))
        seen.append(_taken(view, own, is_jpeg, draw))
    return Shots(shot, np.stack(seen))


def _scene(photo: NDArray[np.uint8], draw: np.random.Generator) -> Tensor:
    """float32 [3, SIDE, SIDE] levels: one part of a photo, or four beside each other, made smaller."""
    if draw.random() < _IN_FOUR:
        rows = [torch.cat([_part(photo, _SIDE // 2, draw) for _ in range(2)], dim=2) for _ in range(2)]
        return torch.cat(rows, dim=1)
    return _part(photo, _SIDE, draw)


def _part(photo: NDArray[np.uint8], side: int, draw: np.random.Generator) -> Tensor:
    height, width = photo.shape[:2]
    window = int(side * draw.uniform(1.0, min(_SMALLEST, min(height, width) / side)))
    top, left = int(draw.integers(height - window + 1)), int(draw.integers(width - window + 1))
    part = torch.from_numpy(photo[top : top + window, left : left + window].copy()).permute(2, 0, 1)[None].float()
    part = F.interpolate(part, (side, side), mode="bilinear", antialias=True)[0]
    part = torch.rot90(part, int(draw.integers(4)), (1, 2))
    return part.flip(2) if draw.random() < 0.5 else part


def _cropped(scene: Tensor) -> Tensor:
    return scene[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].clone()


def _moved(scene: Tensor, draw: np.random.Generator) -> Tensor:
    """The scene as a camera shows it that is nearly in line, perhaps with something in it that moves."""
    dx = dy = torch.zeros(1)
    case = draw.random()
    if case < _MOVED:
        shift = draw.normal(0.0, _FAR if case < _FAR_MOVED else _SHIFT, size=2)
        dx, dy = torch.from_numpy(shift.astype(np.float32))
    if draw.random() < _SWAYING:  # leaves, water, what is nearer than the plane that is in line
        way = _SWAY * draw.random() ** 2
        where = (2 * _field(draw)[0]).clamp(0.0, 1.0)
        dx, dy = (way * where * _field(draw, finest=24)[0] + shift for shift in (dx, dy))
    elif case >= _MOVED:
        return _cropped(scene)
    span = torch.arange(TILE_SIZE, dtype=torch.float32) + _MARGIN
    row, column = torch.meshgrid(span, span, indexing="ij")
    grid = torch.stack([2 * (column + dx) / (_SIDE - 1) - 1, 2 * (row + dy) / (_SIDE - 1) - 1], dim=-1)
    return F.grid_sample(scene[None], grid[None], mode="bicubic", padding_mode="border", align_corners=True)[0]


def _lit(view: Tensor, draw: np.random.Generator) -> Tensor:
    """In light that the encoder's gain and offset could not make equal: it differs from place to place."""
    gain, offset = draw.random(2) ** 2 * (_GAIN, _OFFSET)
    return view * (1 + gain * _field(draw)) + offset * _field(draw)


def _field(draw: np.random.Generator, finest: int = 6) -> Tensor:
    """A smooth function of the place, about −1 to 1: float32 [1, 256, 256]."""
    side = int(draw.integers(1, finest + 1))
    corners = torch.from_numpy(draw.uniform(-1.0, 1.0, size=(1, 1, side, side)).astype(np.float32))
    return F.interpolate(corners, (TILE_SIZE, TILE_SIZE), mode="bicubic", align_corners=True)[0]


def _covered(view: Tensor, other: NDArray[np.uint8], draw: np.random.Generator) -> Tensor:
    """With passers-by: ellipses of another photo, sharp or soft at their edges."""
    span = torch.arange(TILE_SIZE, dtype=torch.float32)
    for _ in range(int(draw.choice(_PASSERS_BY))):
        height, width = draw.integers(4, TILE_SIZE // 3, size=2)
        top, left = draw.integers(0, TILE_SIZE, size=2)
        y, x = (int(draw.integers(side - TILE_SIZE + 1)) for side in other.shape[:2])
        patch = torch.from_numpy(other[y : y + TILE_SIZE, x : x + TILE_SIZE].copy()).permute(2, 0, 1).float()
        distance = ((span[:, None] - top) / height) ** 2 + ((span - left) / width) ** 2
        mask = ((1 - distance.sqrt()) * draw.uniform(2.0, 40.0)).clamp(0.0, 1.0)
        view = view + mask * (patch - view)
    return view


def _blurred(view: Tensor, deviation: float) -> Tensor:
    span = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(span**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum())[None, None]
    padded = F.pad(view[:, None], (3, 3, 3, 3), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[..., None]), kernel[:, :, None])[:, 0]


def _taken(view: Tensor, noise: float, is_jpeg: bool, draw: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [s, s, 3]: with a sensor's noise, and as the camera stored it."""
    grain = torch.from_numpy(draw.standard_normal(tuple(view.shape), dtype=np.float32))
    if draw.random() < 0.5:  # as after demosaicing
        grain = _blurred(grain, draw.uniform(0.4, 0.9))
        grain = grain / grain.std()
    pixels = (view + noise * grain).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    if not is_jpeg:
        return np.ascontiguousarray(pixels)
    file = io.BytesIO()
    quality = int(draw.integers(_JPEG_QUALITIES.start, _JPEG_QUALITIES.stop))
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=int(draw.choice((0, 2))))
    return np.asarray(Image.open(file).convert("RGB"))
