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
from scipy.sparse import block_array, csr_array, diags_array, eye_array, kron
from scipy.sparse.linalg import spsolve

from clc.codec.references.displacements import MAX_NODE, NODE_STEPS, Displacements, node_counts

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
    found: dict[int, Field] = {}
    last = 0
    for stage in stages:
        reduction = stage.reduction * smaller
        if stage.spacing < _LEAST_SPACING * reduction or min(height, width) < stage.spacing:
            continue
        spline = _Spline(height, width, stage.spacing)
        start = spline.between(found[last], last) if last else np.zeros((*spline.shape, 2))
        own, other = (_reduced(_padded(each, spline), reduction) for each in (image, seen))
        last = stage.spacing
        found[last] = reduction * _improved(own, other, start / reduction, stage.spacing // reduction, stage.steps)
    return [Displacements(spacing, _in_steps(field)) for spacing, field in found.items()]


def _in_steps(field: Field) -> NDArray[np.int32]:
    return np.clip(np.rint(field * NODE_STEPS), -MAX_NODE, MAX_NODE).astype(np.int32)


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


def _improved(image: Picture, seen: Picture, field: Field, spacing: int, steps: int) -> Field:
    """A field after some steps; pictures are whole cells of `spacing` pixels."""
    rows, columns = (_weights(number, spacing) for number in field.shape[:2])
    basis = kron(*(_weights(number, spacing // _CELL) for number in field.shape[:2]), format="csr")  # [cells, nodes]
    smooth = _SMOOTHNESS * _differences(*field.shape[:2])
    damped = smooth + _DAMPING * eye_array(smooth.shape[0])
    down, across = np.indices(image.shape)
    slopes = np.gradient(image)
    for _ in range(steps):
        moved = _dense(field, rows, columns)
        shown = map_coordinates(seen, [down + moved[..., 1], across + moved[..., 0]], order=1, mode="nearest")
        missing = image - shown
        weight = 1 / (_NOISE + uniform_filter(missing**2, _WINDOW))
        dy, dx = ((own + other) / 2 for own, other in zip(slopes, np.gradient(shown), strict=True))
        curvature = [basis.T @ diags_array(_cells(weight * each)) @ basis for each in (dx * dx, dx * dy, dy * dy)]
        pull = [basis.T @ _cells(weight * missing * each) for each in (dx, dy)]
        matrix = block_array([[curvature[0] + damped, curvature[1]], [curvature[1], curvature[2] + damped]])
        right = np.concatenate([own - smooth @ field[..., axis].ravel() for axis, own in enumerate(pull)])
        step = np.clip(spsolve(matrix.tocsc(), right), -_LARGEST_STEP, _LARGEST_STEP)
        field = field + step.reshape(2, *field.shape[:2]).transpose(1, 2, 0)
    return field


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
