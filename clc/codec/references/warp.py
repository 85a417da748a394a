"""A photo as it looks from where another one was taken: the plane projective transforms that align references.

The transform is given by where the four corners of the image lie in the photo. Two photos of a plane, or of anything
far away, differ by just that. A decoder must get the very pixels that the encoder had: all of this is arithmetic on
integers, or single operations of IEEE 754, which every machine rounds alike.
"""

from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.references.displacements import Displacements
from clc.errors import BitstreamError

CORNER_STEPS = 16
"""Displacements of corners are in steps of 1/CORNER_STEPS pixel."""

_PHASES = 32  # positions from one pixel to the next
_ONE_BITS = 9
_ONE = 1 << _ONE_BITS  # of the weights: two of them times a pixel, summed, fit into 32 bits
_TAPS = (-1, 0, 1, 2)  # pixels of the cubic, from the one before a position
_SHIFTS = (0, 8, 16)  # of red, green and blue in a packed pixel
_ROWS = 32  # computed at once
_LEAST_DEPTH = 1 / 16  # at any corner, that of the first being 1: nothing lies behind the camera

Plane = tuple[float, float, float]
Positions = NDArray[np.float64]


def warp(
    photo: NDArray[np.uint8],
    corners: NDArray[np.int32],
    height: int,
    width: int,
    shape: tuple[int, int],
    displacements: Displacements | None = None,
) -> NDArray[np.uint8]:
    """What an image of `height`×`width` pixels shows of a photo uint8 [h, w, 3], whose borders are repeated.

    corners: [4, 2], displacements (x, y) from the image to the photo of the upper left, upper right, lower left and
    lower right corner, in steps of 1/16 pixel.
    shape: of the result uint8 [*shape, 3]; rows and columns may go on beyond the image.
    Raises BitstreamError if no camera sees a rectangle so.
    """
    if displacements is None and (corners == corners[0]).all() and not (corners[0] % CORNER_STEPS).any():
        right, down = (corners[0] // CORNER_STEPS).tolist()
        return _shifted(photo, right, down, shape)
    x, y, depth = _projection(corners, height, width)
    pixels = _packed(photo)
    result = np.empty((*shape, 3), dtype=np.uint8)
    for start in range(0, shape[0], _ROWS):
        rows, columns = _places(range(start, min(start + _ROWS, shape[0])), shape[1], displacements)
        distance = np.maximum(_at(depth, rows, columns), _LEAST_DEPTH)
        seen = (_at(plane, rows, columns) / distance for plane in (x, y))
        result[start : start + _ROWS] = _sample(pixels, *seen)
    return result


def _shifted(photo: NDArray[np.uint8], right: int, down: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """By whole pixels, where the weights below are 1 and 0: a camera that has not moved is the most frequent one."""
    rows, columns = (
        (np.arange(size) + shift).clip(0, length - 1)
        for size, shift, length in zip(shape, (down, right), photo.shape[:2], strict=True)
    )
    return photo[rows[:, None], columns]


def _projection(corners: NDArray[np.int32], height: int, width: int) -> tuple[Plane, Plane, Plane]:
    """Numerators of x and y, and their denominator, as planes over the image's pixels.

    Heckbert, Fundamentals of Texture Mapping and Image Warping (1989), section 2.2.3, in exact fractions.
    """
    at = [(0, 0), (width, 0), (0, height), (width, height)]
    corner = [tuple(map(int, displacement)) for displacement in corners]
    moved = [
        (Fraction(x) + Fraction(dx, CORNER_STEPS), Fraction(y) + Fraction(dy, CORNER_STEPS))
        for (x, y), (dx, dy) in zip(at, corner, strict=True)
    ]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = moved
    area = (x1 - x3) * (y2 - y3) - (x2 - x3) * (y1 - y3)
    bend = x0 - x1 - x2 + x3, y0 - y1 - y2 + y3
    if area == 0:
        raise BitstreamError("a reference is aligned by corners that lie on a line")
    across = (bend[0] * (y2 - y3) - (x2 - x3) * bend[1]) / area
    down = ((x1 - x3) * bend[1] - bend[0] * (y1 - y3)) / area
    if min(1 + across, 1 + down, 1 + across + down) < _LEAST_DEPTH:
        raise BitstreamError("a reference is aligned by corners that no camera sees so")
    planes = (
        (x1 - x0 + across * x1, x2 - x0 + down * x2, x0),
        (y1 - y0 + across * y1, y2 - y0 + down * y2, y0),
        (across, down, Fraction(1)),
    )
    x, y, depth = ((float(a / width), float(b / height), float(c)) for a, b, c in planes)
    return x, y, depth


def _places(rows: range, width: int, displacements: Displacements | None) -> tuple[Positions, Positions]:
    """Where pixels of the image are taken from, before they are projected: rows and columns of their centres."""
    down, across = np.arange(rows.start, rows.stop), np.arange(width)
    if displacements is None:
        return down[:, None] + 0.5, across + 0.5
    moved = displacements.at(down, across)
    return down[:, None] + 0.5 + moved[..., 1], across + 0.5 + moved[..., 0]


def _at(plane: Plane, rows: Positions, columns: Positions) -> Positions:
    """a·column + b·row + c. One operation at a time: a fused one would round differently."""
    along = columns * plane[0]
    down = rows * plane[1]
    return np.add(np.add(along, down), plane[2])


def _sample(photo: Tensor, x: Positions, y: Positions) -> NDArray[np.uint8]:
    """Cubic convolution of a packed photo [h, w] at positions [r, c]: uint8 [r, c, 3]."""
    height, width = photo.shape
    left, across = _split(x, width)
    top, down = _split(y, height)
    columns = [(left + tap).clamp_(0, width - 1) for tap in _TAPS]
    pixels = photo.flatten()
    total = torch.zeros((3, *x.shape), dtype=torch.int32)
    for tap, own in zip(_TAPS, down, strict=True):
        row = (top + tap).clamp_(0, height - 1) * width
        line = torch.zeros_like(total)
        for column, weight in zip(columns, across, strict=True):
            seen = pixels.index_select(0, (row + column).flatten()).view(x.shape)
            for channel, shift in zip(line, _SHIFTS, strict=True):
                channel.addcmul_((seen >> shift) & 255, weight)
        total.addcmul_(line, own)
    rounded = (total.add_(1 << (2 * _ONE_BITS - 1)) >> 2 * _ONE_BITS).clamp_(0, 255)
    return rounded.to(torch.uint8).permute(1, 2, 0).numpy()


def _packed(photo: NDArray[np.uint8]) -> Tensor:
    """uint8 [h, w, 3] → int32 [h, w], the channels of a pixel in one number: it is fetched sixteen times."""
    red, green, blue = torch.from_numpy(photo.astype(np.int32)).unbind(dim=-1)
    return (red | green << _SHIFTS[1] | blue << _SHIFTS[2]).contiguous()


def _split(position: Positions, size: int) -> tuple[Tensor, list[Tensor]]:
    """The pixel whose centre comes before a position, int32, and the weight of each tap."""
    steps = np.floor(position * _PHASES - (_PHASES - 1) / 2)  # from the centre of the first pixel
    whole = torch.from_numpy(np.clip(steps, 0, (size - 1) * _PHASES).astype(np.int32))
    phase = (whole % _PHASES).flatten()
    return whole // _PHASES, [tap.index_select(0, phase).view(whole.shape) for tap in _WEIGHTS]


def _cubic_weights() -> Tensor:
    """int32 [taps, phases]: Keys's cubic convolution (a = −1/2) in 512ths; those of a phase add up to 1."""
    t = np.arange(_PHASES) / _PHASES
    t2, t3 = t * t, t * t * t  # exact; what ** gives is a matter of the mathematics library
    cubic = np.stack([-t + 2 * t2 - t3, 2 - 5 * t2 + 3 * t3, t + 4 * t2 - 3 * t3, t3 - t2]) / 2
    weights = np.rint(_ONE * cubic).astype(np.int32)
    weights[weights.argmax(axis=0), np.arange(_PHASES)] += _ONE - weights.sum(axis=0, dtype=np.int32)
    return torch.from_numpy(weights)


_WEIGHTS = _cubic_weights()
