"""What is left between an image and a photo that was projected onto it: displacements at the nodes of a grid.

The encoder's side of `clc.codec.references.displacements`. Pictures are registered by splines (Szeliski and Coughlan,
Spline-Based Image Registration, IJCV 1997), coarse to fine: steps of Gauss and Newton on all nodes together. What
stands out, as things do that moved or that others hide, counts little; where a picture says nothing, neighbours do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, uniform_filter
from scipy.sparse import block_array, block_diag, csr_array, diags_array, eye_array, kron
from scipy.sparse.linalg import spsolve

from clc.codec.decisions.block_costs import BLOCK
from clc.codec.references.displacements import Displacements, node_counts
from clc.dictionary.retrieval.node_rounding import rounded

Picture = NDArray[np.float64]
Field = NDArray[np.float64]
"""[rows, columns, 2]: x and y at each node, in pixels."""


@dataclass(frozen=True)
class Stage:
    """reduction: of the pictures that are compared; spacing: of nodes, in pixels before that."""

    reduction: int
    spacing: int
    steps: int


STAGES = (Stage(8, 128, 10), Stage(4, 128, 6), Stage(4, 64, 6), Stage(2, 64, 5), Stage(2, 32, 5))
HALVED = (Stage(4, 64, 10), Stage(2, 64, 6), Stage(2, 32, 6))
"""The first of them, for pictures that are smaller by half."""
_COMPARED_PIXELS = 2**21  # of larger pictures, smaller ones are compared
_LEAST_SPACING = 8  # pixels of what is compared
_CELL = 4  # pixels along each side that have one weight
_NOISE = 36.0  # as in `clc.codec.decisions.block_costs`
_WINDOW = 8  # pixels around one that tell how much it counts
_SMOOTHNESS = 16.0  # of differences between neighbours, squared, against costs
_DAMPING = 1e-3
BITS = 8.0
"""That a unit of cost stands for, at full size and middle qualities; compared with those of displacements."""
_LARGEST_STEP = 2.0  # pixels of what is compared


def find_displacements(
    image: NDArray[np.uint8], seen: NDArray[np.uint8], stages: Sequence[Stage] = STAGES
) -> list[Displacements]:
    """Grids that bring what is seen of a photo into line with an image, both uint8 [H, W, 3]: the finest last.

    Pictures that are too large for that, or too small, have none.
    """
    height, width = image.shape[:2]
    smaller = 1
    while height * width > _COMPARED_PIXELS * (smaller * min(each.reduction for each in stages)) ** 2:
        smaller *= 2
    found: dict[int, tuple[Field, _Registration, int]] = {}
    field: Field | None = None
    last = 0
    for stage in stages:
        reduction = stage.reduction * smaller
        if stage.spacing < _LEAST_SPACING * reduction or min(height, width) < stage.spacing:
            continue
        spline = _Spline(height, width, stage.spacing)
        start = np.zeros((*spline.shape, 2)) if field is None else spline.between(field, last)
        own, other = (_reduced(_padded(each, spline), reduction) for each in (image, seen))
        registration = _Registration(own, other, stage.spacing // reduction)
        last = stage.spacing
        field = reduction * registration.improved(start / reduction, stage.steps)
        found[last] = field, registration, reduction
    return [
        Displacements(spacing, rounded(field, *registration.in_bits(field, reduction)))
        for spacing, (field, registration, reduction) in found.items()
    ]


class _Spline:
    """Linear between the nodes of a grid, which lie in the middles of its cells."""

    def __init__(self, height: int, width: int, spacing: int) -> None:
        self.spacing = spacing
        self.shape = node_counts(height, width, spacing)

    def between(self, field: Field, spacing: int) -> Field:
        """At these nodes, of a field with nodes further apart."""
        rows, columns = (_weights(number, spacing // self.spacing) for number in field.shape[:2])
        return _dense(field, rows, columns)[: self.shape[0], : self.shape[1]]


def _weights(number: int, places: int) -> csr_array:
    """[number · places, number]: of nodes, at so many places of each cell."""
    position = np.clip((np.arange(number * places) + 0.5) / places - 0.5, 0, number - 1)
    before = np.floor(position).astype(np.int64)
    behind = position - before
    own = np.tile(np.arange(number * places), 2)
    nodes = np.concatenate([before, np.minimum(before + 1, number - 1)])
    return csr_array((np.concatenate([1 - behind, behind]), (own, nodes)), shape=(number * places, number))


def _dense(field: Field, rows: csr_array, columns: csr_array) -> Field:
    """A field at all places: [places, places, 2]."""
    return np.stack([(columns @ (rows @ field[..., axis]).T).T for axis in range(2)], axis=-1)


class _Registration:
    """Of what is seen to an image; pictures are whole cells of `spacing` pixels."""

    def __init__(self, image: Picture, seen: Picture, spacing: int) -> None:
        self._image, self._seen = image, seen
        height, width = (side // spacing for side in image.shape)
        self._rows, self._columns = (_weights(number, spacing) for number in (height, width))
        finer = (_weights(number, spacing // _CELL) for number in (height, width))
        self._basis = kron(*finer, format="csr")  # [cells, nodes]
        self._smooth = _SMOOTHNESS * _differences(height, width)
        self._slopes = np.gradient(image)

    def improved(self, field: Field, steps: int) -> Field:
        """A field after some steps, in pixels of the pictures."""
        damped = self._smooth + _DAMPING * eye_array(self._smooth.shape[0])
        for _ in range(steps):
            curvature, pull = self._model(field)
            right = pull - np.concatenate([self._smooth @ field[..., axis].ravel() for axis in range(2)])
            step = spsolve((curvature + block_diag([damped, damped])).tocsc(), right)
            step = np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
            field = field + step.reshape(2, *field.shape[:2]).transpose(1, 2, 0)
        return field

    def in_bits(self, field: Field, reduction: int) -> tuple[csr_array, Picture]:
        """Curvature and pull, of a field in pixels before a reduction, counted in bits."""
        curvature, pull = self._model(field / reduction)
        worth = BITS / BLOCK**2  # of a pixel
        return worth * curvature, worth * reduction * pull

    def _model(self, field: Field) -> tuple[csr_array, Picture]:
        """Curvature [2n, 2n] and pull [2n]: a step d from a field takes off 2·pull·d - d·curvature·d."""
        moved = _dense(field, self._rows, self._columns)
        down, across = np.indices(self._image.shape)
        shown = map_coordinates(self._seen, [down + moved[..., 1], across + moved[..., 0]], order=1, mode="nearest")
        missing = self._image - shown
        weight = 1 / (_NOISE + uniform_filter(missing**2, _WINDOW))
        dy, dx = ((own + other) / 2 for own, other in zip(self._slopes, np.gradient(shown), strict=True))
        basis = self._basis
        xx, xy, yy = (basis.T @ diags_array(_cells(weight * each)) @ basis for each in (dx * dx, dx * dy, dy * dy))
        pull = [basis.T @ _cells(weight * missing * each) for each in (dx, dy)]
        return block_array([[xx, xy], [xy, yy]], format="csr"), np.concatenate(pull)


def _differences(rows: int, columns: int) -> csr_array:
    """[n, n]: of a field u over n nodes, u·result·u is the sum of squared differences of neighbours."""
    along = [_path(number) for number in (rows, columns)]
    return (kron(along[0], eye_array(columns)) + kron(eye_array(rows), along[1])).tocsr()


def _path(number: int) -> csr_array:
    degrees = np.full(number, 2.0)
    degrees[[0, -1]] -= 1.0
    ones = np.ones(number - 1)
    return diags_array([-ones, degrees, -ones], offsets=[-1, 0, 1], shape=(number, number)).tocsr()


def _cells(values: Picture) -> Picture:
    """Sums over cells, one after the other."""
    height, width = values.shape
    return values.reshape(height // _CELL, _CELL, width // _CELL, _CELL).sum(axis=(1, 3)).ravel()


def _padded(picture: NDArray[np.uint8], spline: _Spline) -> Picture:
    """Grey, its borders repeated to whole cells."""
    sides = zip(spline.shape, picture.shape[:2], strict=True)
    return np.pad(picture.mean(axis=2), [(0, number * spline.spacing - side) for number, side in sides], mode="edge")


def _reduced(picture: Picture, by: int) -> Picture:
    height, width = (side // by for side in picture.shape)
    return picture.reshape(height, by, width, by).mean(axis=(1, 3))
