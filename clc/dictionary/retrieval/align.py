"""Photos of a dictionary that show what an image shows, from another place: found, and brought into line with it.

The encoder's side of aligned references. Keypoints that both have tell the plane projective transform between them
(SIFT, Lowe, IJCV 2004; RANSAC, Fischler and Bolles, CACM 1981); of the photos it works for, those are taken that leave
the least of the image unexplained.
"""

import warnings
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

_CANDIDATES = 8  # photos that are tried, those first which the search found most entries of
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
        self._shown = set(photos.shown())
        self._keypoints = lru_cache(_REMEMBERED)(lambda name: _keypoints(_reduced(photos.photo(name))))

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment | None:
        """At most `number` photos for an image uint8 [H, W, 3], the best first; None if none is like it.

        candidates: entries [Q, N] that a search found for it.
        """
        names = self._voted(candidates)
        if not names:
            return None
        reduced = _reduced(image)
        own = _keypoints(reduced)
        offers: list[tuple[int, NDArray[np.int32]]] = []
        for name in names:
            offers.append((name, np.zeros((4, 2), dtype=np.int32)))  # a camera that has not moved
            corners = _corners(own, self._keypoints(name), *image.shape[:2])
            if corners is not None:
                offers.append((name, corners))
        chosen = self._chosen(reduced, offers, number)
        if not chosen:
            return None
        entries, corners_of = zip(*(offers[place] for place in chosen), strict=True)
        return Alignment(np.array(entries, dtype=np.int64), np.stack(corners_of))

    def _voted(self, candidates: NDArray[np.int64]) -> list[int]:
        """Names of the photos that candidates come from, most frequent first."""
        if not self._shown:
            return []
        names, votes = np.unique([self._photos.name(entry) for entry in candidates.ravel()], return_counts=True)
        ranked = names[np.argsort(-votes, kind="stable")].tolist()
        return [name for name in ranked if name in self._shown][:_CANDIDATES]

    def _chosen(self, image: NDArray[np.uint8], offers: list[tuple[int, NDArray[np.int32]]], number: int) -> list[int]:
        """Places of the offers that together explain a reduced image best: one by one, while it is worth it."""
        height, width = image.shape[:2]
        alone = np.log1p(_blocks(image, _block_means(image)) / _NOISE)
        costs = []
        for name, corners in offers:
            shrunk = np.rint(corners / _REDUCTION).astype(np.int32)
            try:
                seen = warp(_reduced(self._photos.photo(name)), shrunk, height, width, (height, width))
            except BitstreamError:  # no camera sees it so
                costs.append(alone)
                continue
            costs.append(np.log1p(_blocks(image, seen) / _NOISE))
        chosen: list[int] = []
        best = alone
        while len(chosen) < number:
            totals = [float(np.minimum(cost, best).sum()) for cost in costs]
            place = int(np.argmin(totals))
            if best.sum() - totals[place] <= _WORTHWHILE * alone.sum():
                break
            chosen.append(place)
            best = np.minimum(best, costs[place])
        return chosen


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
