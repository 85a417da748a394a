"""Tiles: the 256×256 squares of an image, and of its latent, that references are retrieved and matched for."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clc.model.limits import TILE_SIZE

IMAGE_MULTIPLE = 64
"""Images are padded to a multiple of this many pixels: the stride of z."""
LATENT_STRIDE = 16
"""Image pixels per latent position, along each axis."""
LATENT_TILE = TILE_SIZE // LATENT_STRIDE


def image_tiles(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] → uint8 [T, 256, 256, 3]; the last row and column repeat the border pixels."""
    height, width = image.shape[:2]
    rows, columns = math.ceil(height / TILE_SIZE), math.ceil(width / TILE_SIZE)
    padding = ((0, rows * TILE_SIZE - height), (0, columns * TILE_SIZE - width), (0, 0))
    padded = np.pad(image, padding, mode="edge")
    tiles = padded.reshape(rows, TILE_SIZE, columns, TILE_SIZE, 3).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(-1, TILE_SIZE, TILE_SIZE, 3))


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W] in [0, 1]."""
    return to_unit_range(torch.tensor(np.ascontiguousarray(pixels)))


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W] in [0, 1], on the same device."""
    return pixels.permute(0, 3, 1, 2).float() / 255.0


def padded_size(pixels: int) -> int:
    """`pixels` rounded up to the stride of z."""
    return math.ceil(pixels / IMAGE_MULTIPLE) * IMAGE_MULTIPLE


def to_padded_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, 3, H', W'] in [0, 1], border pixels repeated up to the stride of z."""
    height, width = pixels.shape[1:3]
    padding = (0, padded_size(width) - width, 0, padded_size(height) - height)
    return F.pad(to_tensor(pixels), padding, mode="replicate")


def split_latent(latent: Tensor) -> Tensor:
    """[B, C, h, w] → [T, C, 16, 16], the tiles of the first latent first; what lies beyond a latent is zero."""
    height, width = latent.shape[-2:]
    rows, columns = math.ceil(height / LATENT_TILE), math.ceil(width / LATENT_TILE)
    padded = F.pad(latent, (0, columns * LATENT_TILE - width, 0, rows * LATENT_TILE - height))
    tiles = padded.unflatten(3, (columns, LATENT_TILE)).unflatten(2, (rows, LATENT_TILE))
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def join_latent(tiles: Tensor, height: int, width: int) -> Tensor:
    """[T, C, 16, 16] → [B, C, h, w]: the inverse of `split_latent`."""
    rows, columns = math.ceil(height / LATENT_TILE), math.ceil(width / LATENT_TILE)
    grid = tiles.unflatten(0, (-1, rows, columns)).permute(0, 3, 1, 4, 2, 5)
    return grid.flatten(4, 5).flatten(2, 3)[..., :height, :width]
