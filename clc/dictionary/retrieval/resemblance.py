"""Which photos of a folder resemble each other, and how much each explains of another: asked of thumbnails.

Descriptions are those that dictionaries retrieve by, spatial pyramids of colours and oriented gradients. The nearest
few of a photo are compared pixel by pixel, as they lie and, where that explains too little, as keypoints tell.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clc.codec.decisions.block_costs import costs_alone
from clc.codec.references.warp import warp
from clc.dictionary.retrieval.relight import in_best_light
from clc.errors import BitstreamError
from clc.runtime.prefetch import in_parallel

if TYPE_CHECKING:
    from clc.dictionary.retrieval.keypoints import Keypoints

_LONGER_SIDE = 256
_LEAST_SIDE = 32  # borders are repeated beyond: a description takes some cells of 8×8 pixels
_CANDIDATES = 20  # of each photo
_ROWS = 256  # of distances that are computed at once
_EXPLAINED = 0.5  # of a photo's cost; if less is left, the camera has not moved
_LEVELS = (1, 2, 4)
_STILL = np.zeros((4, 2), dtype=np.int32)
LEAST = 1e-9
"""Cost that is divided by: photos of one colour have none."""

Costs = NDArray[np.float64]
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Resemblance:
    """Of N photos, each compared with K others. cost: [N], about the bits of each alone, in units of its own.

    others: [N, K], which photos each was compared with. left: [N, K], the share of its cost that each of them leaves.
    """

    cost: NDArray[np.float64]
    others: NDArray[np.int64]
    left: NDArray[np.float64]

    def among(self, photos: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n, n] for n of the photos, in ascending order: row i, column k: what k leaves of i; 1 if not compared."""
        left = np.ones((len(photos), len(photos)))
        others = self.others[photos]
        columns = np.minimum(np.searchsorted(photos, others), len(photos) - 1)
        rows, places = np.nonzero(photos[columns] == others)
        left[rows, columns[rows, places]] = self.left[photos][rows, places]
        return left


def thumbnail(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] → its means, with 32 to 256 pixels along each side."""
    image = Image.fromarray(photo)
    image.thumbnail((_LONGER_SIDE, _LONGER_SIDE), Image.Resampling.BOX, reducing_gap=None)
    missing = [(0, max(0, _LEAST_SIDE - side)) for side in (image.height, image.width)]
    return np.pad(np.asarray(image), (*missing, (0, 0)), mode="edge")


@dataclass(frozen=True, eq=False)
class BlockCosts:
    """The same block by block. alone: N arrays [h, w]. others: [N, K].

    given: N arrays float16 [K, h, w], what is left of each block with each of the others, at most what it costs alone.
    """

    alone: Sequence[Costs]
    others: NDArray[np.int64]
    given: Sequence[NDArray[np.float16]]


def resemblance(thumbnails: Sequence[NDArray[np.uint8]], *, moved: bool = True, threads: int = 1) -> Resemblance:
    """Compare photos by their thumbnails.

    moved: find those that were taken from different places too, which takes scikit-image and FAISS.
    """
    comparison = _Comparison(thumbnails, moved)
    nearest = _nearest(_descriptions(thumbnails), _CANDIDATES)
    left = np.stack(list(comparison.of_each(comparison.shares, nearest, threads)))
    return Resemblance(np.array([each.sum() for each in comparison.alone]), nearest, left)


def block_costs(thumbnails: Sequence[NDArray[np.uint8]], *, candidates: int, threads: int = 1) -> BlockCosts:
    """Compare photos by their thumbnails, each with so many others. Takes scikit-image and FAISS."""
    comparison = _Comparison(thumbnails, moved=True)
    nearest = _nearest(_descriptions(thumbnails), candidates)
    given = list(comparison.of_each(comparison.blocks, nearest, threads))
    return BlockCosts(comparison.alone, nearest, given)


class _Comparison:
    """Compares thumbnails; keypoints are found once each. alone: the cost of their blocks."""

    def __init__(self, thumbnails: Sequence[NDArray[np.uint8]], moved: bool) -> None:
        self.alone = [costs_alone(each) for each in thumbnails]
        self._thumbnails, self._moved = thumbnails, moved
        self._keypoints: dict[int, Keypoints] = {}

    def of_each(
        self, compared: Callable[[int, NDArray[np.int64]], Result], nearest: NDArray[np.int64], threads: int
    ) -> Iterator[Result]:
        """What each photo gives with the photos nearest to it."""
        photos = iter(range(len(self._thumbnails)))
        return in_parallel(lambda each: compared(each, nearest[each]), photos, threads=threads, prepare=lambda: None)

    def shares(self, photo: int, others: NDArray[np.int64]) -> Costs:
        """What each of the others leaves of a photo's cost."""
        whole = max(self.alone[photo].sum(), LEAST)
        return np.array([self._left(photo, int(other)).sum() / whole for other in others])

    def blocks(self, photo: int, others: NDArray[np.int64]) -> NDArray[np.float16]:
        """The same of each block."""
        shape = (len(others), *self.alone[photo].shape)
        return np.array([self._left(photo, int(other)) for other in others], dtype=np.float16).reshape(shape)

    def _left(self, photo: int, other: int) -> Costs:
        left = self._after(photo, other, _STILL) if self._same_size(photo, other) else self.alone[photo]
        if not self._moved or left.sum() <= _EXPLAINED * self.alone[photo].sum() or photo == other:
            return left
        from clc.dictionary.retrieval.keypoints import corners_by_keypoints  # takes long to import

        height, width = self._thumbnails[photo].shape[:2]
        corners = corners_by_keypoints(self._found(photo), self._found(other), height, width)
        if corners is not None:
            with suppress(BitstreamError):
                left = min(left, self._after(photo, other, corners), key=np.sum)
        return left

    def _after(self, photo: int, other: int, corners: NDArray[np.int32]) -> Costs:
        own, alone = self._thumbnails[photo], self.alone[photo]
        height, width = own.shape[:2]
        seen = warp(self._thumbnails[other], corners, height, width, (height, width))
        _, cost = in_best_light(own, seen, alone)
        return np.minimum(cost, alone)

    def _same_size(self, photo: int, other: int) -> bool:
        return self._thumbnails[photo].shape == self._thumbnails[other].shape

    def _found(self, photo: int) -> "Keypoints":
        from clc.dictionary.retrieval.keypoints import find_keypoints

        if photo not in self._keypoints:
            self._keypoints[photo] = find_keypoints(self._thumbnails[photo])
        return self._keypoints[photo]


def _descriptions(thumbnails: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """[N, D]: every feature in its own standard deviations."""
    import torch

    from clc.dictionary.backbone import open_backbone
    from clc.dictionary.stages.features import spatial_pyramid_pool
    from clc.model.tiles import to_tensor

    backbone = open_backbone("hog")
    features = np.empty((len(thumbnails), backbone.channels * sum(level**2 for level in _LEVELS)), dtype=np.float32)
    with torch.inference_mode():
        # Rows are copied: small results that stay between large ones that go would keep the memory of these.
        for row, each in zip(features, thumbnails, strict=True):
            row[:] = spatial_pyramid_pool(backbone(to_tensor(each[None])), _LEVELS)[0].numpy()
    described: NDArray[np.float32] = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    return described


def _nearest(descriptions: NDArray[np.float32], candidates: int) -> NDArray[np.int64]:
    """The photos nearest to each, [N, at most that many], itself apart; of equals the first."""
    count = len(descriptions)
    squares = np.square(descriptions).sum(axis=1)
    number = min(candidates, count - 1)
    nearest = np.empty((count, number), dtype=np.int64)
    for start in range(0, count, _ROWS):
        rows = slice(start, min(start + _ROWS, count))
        distances = squares[None] - 2 * descriptions[rows] @ descriptions.T
        distances[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        nearest[rows] = np.argsort(distances, axis=1, kind="stable")[:, :number]
    return nearest
