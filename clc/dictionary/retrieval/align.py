"""Photos of a dictionary that show what an image shows, from another place: found, and brought into line with it.

The encoder's side of aligned references. Keypoints that both have tell the plane projective transform between them
(SIFT, Lowe, IJCV 2004; RANSAC, Fischler and Bolles, CACM 1981); of the photos it works for, those are taken that leave
the least of the image unexplained.
"""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import faiss
import numpy as np
from numpy.typing import NDArray
from skimage.feature import SIFT
from skimage.measure import ransac
from skimage.transform import ProjectiveTransform

from clc.codec.packing import MAX_DISPLACEMENT
from clc.codec.references.protocols import Alignment, NamedPhotos
from clc.codec.references.warp import CORNER_STEPS, warp
from clc.errors import BitstreamError

_CANDIDATES = 32  # photos that are tried as they lie, those first which the search found most entries of
_COMPARED = 8  # of them, by keypoints
_EXPLAINED = 0.5  # of an image's cost: if no more is left, the camera has not moved, and keypoints find nothing better
_REMEMBERED = 64  # photos whose keypoints are kept: a megabyte or so each
_REDUCTION = 2  # of the pictures that are compared: a quarter of the time, and keypoints enough
_LEAST_SIDE = 32  # of a reduced picture with keypoints
_RATIO = 0.8  # of the distances of a keypoint's best and second-best match; Lowe's
_LEAST_MATCHES = 20
_TOLERANCE = 3.0  # pixels that a keypoint may lie off
_TRIALS = 500
_BLOCK = 8  # pixels of a reduced picture along each side of what is explained by one reference
_NOISE = 36.0  # of a pixel, squared: what differs by less costs next to nothing
_WORTHWHILE = 0.03  # of an image's cost that another photo must save


@dataclass(frozen=True)
class _Keypoints:
    """positions: float64 [n, 2], x and y in pixels from the upper left corner; descriptors: float32 [n, 128]."""

    positions: NDArray[np.float64]
    descriptors: NDArray[np.float32]


class PhotoAligner:
    """`clc.codec.references.protocols.Aligner` over the photos that a dictionary shows as a whole."""

    def __init__(self, photos: NamedPhotos) -> None:
        self._photos = photos
        self._shown = photos.shown()
        self._reduced = lru_cache(_REMEMBERED)(lambda name: _reduced(photos.photo(name)))
        self._keypoints = lru_cache(_REMEMBERED)(lambda name: _keypoints(self._reduced(name)))

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment | None:
        """At most `number` photos for an image uint8 [H, W, 3], the best first; None if none is like it.

        A camera that has not moved is tried first, with every photo of the image's size: that takes no keypoints.
        candidates: entries [Q, N] that a search found for it.
        """
        names = self._worth_trying(candidates)
        if not names:
            return None
        reduced = _reduced(image)
        alone = np.log1p(_blocks(reduced, _block_means(reduced)) / _NOISE)
        still = [
            self._offer(name, np.zeros((4, 2), dtype=np.int32), reduced)
            for name in names
            if self._photos.size(name) == image.shape[:2]
        ]
        chosen = _chosen(still, alone, number)
        if _left(chosen, alone) > _EXPLAINED * alone.sum():
            chosen = _chosen([*still, *self._moved(image, reduced, names, still)], alone, number)
        if not chosen:
            return None
        entries = np.array([offer.name for offer in chosen], dtype=np.int64)
        return Alignment(entries, np.stack([offer.corners for offer in chosen]))

    def _worth_trying(self, candidates: NDArray[np.int64]) -> list[int]:
        """Names of the photos that candidates come from, most frequent first; then others, where there are few."""
        if not self._shown:
            return []
        names, votes = np.unique([self._photos.name(entry) for entry in candidates.ravel()], return_counts=True)
        ranked = [*names[np.argsort(-votes, kind="stable")].tolist(), *self._shown]
        shown = set(self._shown)
        return [name for name in dict.fromkeys(ranked) if name in shown][:_CANDIDATES]

    def _offer(self, name: int, corners: NDArray[np.int32], reduced: NDArray[np.uint8]) -> "_Offer":
        """Raises BitstreamError if no camera sees it so."""
        height, width = reduced.shape[:2]
        shrunk = np.rint(corners / _REDUCTION).astype(np.int32)
        seen = warp(self._reduced(name), shrunk, height, width, (height, width))
        return _Offer(name, corners, np.log1p(_blocks(reduced, seen) / _NOISE))

    def _moved(
        self, image: NDArray[np.uint8], reduced: NDArray[np.uint8], names: list[int], still: "list[_Offer]"
    ) -> "Iterator[_Offer]":
        """As keypoints tell: of the photos that are nearest as they lie, and of those that the search found most of."""
        nearest = sorted(still, key=lambda offer: float(offer.cost.sum()))
        tried = dict.fromkeys([*(offer.name for offer in nearest[: _COMPARED // 2]), *names])
        own = _keypoints(reduced)
        for name in list(tried)[:_COMPARED]:
            corners = _corners(own, self._keypoints(name), *image.shape[:2])
            if corners is not None:
                with suppress(BitstreamError):
                    yield self._offer(name, corners, reduced)


@dataclass(frozen=True)
class _Offer:
    """A photo in a place. cost: float64 [rows, columns] of the blocks of an image that it would predict."""

    name: int
    corners: NDArray[np.int32]
    cost: NDArray[np.float64]


def _chosen(offers: list[_Offer], alone: NDArray[np.float64], number: int) -> list[_Offer]:
    """Those that together explain an image best: one by one, while it is worth it.

    alone: cost of its blocks without any.
    """
    chosen: list[_Offer] = []
    best = alone
    while offers and len(chosen) < number:
        totals = [float(np.minimum(offer.cost, best).sum()) for offer in offers]
        place = int(np.argmin(totals))
        if best.sum() - totals[place] <= _WORTHWHILE * alone.sum():
            break
        chosen.append(offers[place])
        best = np.minimum(best, offers[place].cost)
    return chosen


def _left(chosen: list[_Offer], alone: NDArray[np.float64]) -> float:
    """What is left of the cost of an image."""
    return float(np.minimum.reduce([alone, *(offer.cost for offer in chosen)]).sum())


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2×2 pixels; an odd last row or column is left out."""
    height, width = (max(1, side // _REDUCTION) for side in image.shape[:2])
    part = image[: height * _REDUCTION, : width * _REDUCTION]
    if part.shape[0] < _REDUCTION or part.shape[1] < _REDUCTION:
        return part
    return part.reshape(height, _REDUCTION, width, _REDUCTION, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def _keypoints(reduced: NDArray[np.uint8]) -> _Keypoints:
    detector = SIFT()
    none = _Keypoints(np.empty((0, 2)), np.empty((0, 128), dtype=np.float32))
    if min(reduced.shape[:2]) < _LEAST_SIDE:
        return none
    try:
        detector.detect_and_extract(reduced.mean(axis=2) / 255.0)
    except RuntimeError:  # that there are none
        return none
    positions = (np.asarray(detector.positions)[:, ::-1] + 0.5) * _REDUCTION
    return _Keypoints(positions, np.asarray(detector.descriptors, dtype=np.float32))


def _corners(image: _Keypoints, photo: _Keypoints, height: int, width: int) -> NDArray[np.int32] | None:
    """Displacements [4, 2] of an image's corners to where they lie in a photo; None if keypoints do not tell."""
    if min(len(image.positions), len(photo.positions)) < _LEAST_MATCHES:
        return None
    index = faiss.IndexFlatL2(photo.descriptors.shape[1])
    index.add(photo.descriptors)
    distances, found = index.search(image.descriptors, 2)  # squared
    clear = distances[:, 0] < _RATIO**2 * distances[:, 1]
    if clear.sum() < _LEAST_MATCHES:
        return None
    pairs = image.positions[clear], photo.positions[found[clear, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about samples that determine nothing
        transform, inliers = ransac(
            pairs, ProjectiveTransform, min_samples=4, residual_threshold=_TOLERANCE, max_trials=_TRIALS, rng=0
        )
    if transform is None or inliers.sum() < _LEAST_MATCHES:
        return None
    at = np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)
    steps = np.rint((transform(at) - at) * CORNER_STEPS)
    if not (np.abs(steps) <= MAX_DISPLACEMENT).all():
        return None
    return steps.astype(np.int32)


def _blocks(image: NDArray[np.uint8], other: NDArray[np.uint8] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean squared differences of the whole blocks of two pictures."""
    squared = ((image.astype(np.float64) - other) ** 2).mean(axis=2)
    rows, columns = (side // _BLOCK for side in squared.shape)
    cut = squared[: rows * _BLOCK, : columns * _BLOCK]
    return cut.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))


def _block_means(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Each pixel replaced by the mean of its block; what is beyond the whole blocks stays."""
    means = image.astype(np.float64)
    rows, columns = (side // _BLOCK for side in image.shape[:2])
    blocks = means[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK, 3)
    blocks[:] = blocks.mean(axis=(1, 3), keepdims=True)
    return means
