"""Regions that a search goes through one by one, each with something of what is around it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clc.model.tiles import IMAGE_MULTIPLE, LATENT_STRIDE, LATENT_TILE

_SIDE = 64  # latent positions of a region: 1024 pixels
_AROUND = 8  # seen around it, where changes still show
_HYPER = IMAGE_MULTIPLE // LATENT_STRIDE  # latent positions of one of z


@dataclass(frozen=True)
class Region:
    """Rows and columns of a latent: those seen, and among them those that are the region's own.

    Bounds are multiples of 4; of what is seen, the first are multiples of 16 where tiles have to be whole.
    tiles: indices, among those of the whole latent, of the tiles that it sees.
    """

    seen: tuple[slice, slice]
    own: tuple[slice, slice]
    tiles: Tensor

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The rows and columns of the image that are seen."""
        rows, columns = (slice(each.start * LATENT_STRIDE, each.stop * LATENT_STRIDE) for each in self.seen)
        return rows, columns

    def of(self, latent: Tensor) -> Tensor:
        """What is seen of a latent [1, C, h, w]."""
        return latent[:, :, *self.seen]

    def of_hyper(self, hyper: Tensor) -> Tensor:
        """What is seen of a hyper-latent [1, N, h/4, w/4]."""
        return hyper[:, :, *(_divided(each) for each in self.seen)]

    def of_features(self, features: Tensor, scale: int) -> Tensor:
        """What is seen of features [B, M, w, H, W'] with a position for every `scale` pixels along each side."""
        rows, columns = (slice(each.start // scale, each.stop // scale) for each in self.pixels)
        return features[..., rows, columns]

    def put(self, whole: Tensor, part: Tensor) -> None:
        """Write the region's own positions of `part`, of what is seen, into a tensor like the latent."""
        whole[:, :, *self.own] = part[:, :, *self._inner()]

    def put_hyper(self, whole: Tensor, part: Tensor) -> None:
        """The same for one like the hyper-latent."""
        own, inner = (tuple(_divided(each) for each in bounds) for bounds in (self.own, self._inner()))
        whole[:, :, *own] = part[:, :, *inner]

    def _inner(self) -> tuple[slice, slice]:
        rows, columns = (
            slice(own.start - seen.start, own.stop - seen.start) for own, seen in zip(self.own, self.seen, strict=True)
        )
        return rows, columns


def regions(height: int, width: int, *, whole_tiles: bool) -> Iterator[Region]:
    """The regions of an image of so many pixels, multiples of 64. whole_tiles: they start where tiles do."""
    rows, columns = (list(_spans(side // LATENT_STRIDE, whole_tiles)) for side in (height, width))
    across = -(-width // (LATENT_STRIDE * LATENT_TILE))
    for seen_rows, own_rows in rows:
        for seen_columns, own_columns in columns:
            down, right = (
                torch.arange(seen.start // LATENT_TILE, -(-seen.stop // LATENT_TILE))
                for seen in (seen_rows, seen_columns)
            )
            tiles = (down[:, None] * across + right).flatten()
            yield Region((seen_rows, seen_columns), (own_rows, own_columns), tiles)


def _spans(length: int, whole_tiles: bool) -> Iterator[tuple[slice, slice]]:
    before = LATENT_TILE if whole_tiles else _AROUND
    for start in range(0, length, _SIDE):
        end = min(start + _SIDE, length)
        yield slice(max(0, start - before), min(end + _AROUND, length)), slice(start, end)


def _divided(bounds: slice) -> slice:
    return slice(bounds.start // _HYPER, bounds.stop // _HYPER)
