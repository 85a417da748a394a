"""Where one photo lies in another: keypoints that both have tell the plane projective transform between them.

SIFT (Lowe, IJCV 2004) and RANSAC (Fischler and Bolles, CACM 1981).
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray
from skimage.feature import SIFT
from skimage.measure import ransac
from skimage.transform import ProjectiveTransform

from clc.codec.packing import MAX_DISPLACEMENT
from clc.codec.references.warp import CORNER_STEPS
from clc.runtime.library_warnings import without_library_warnings

_LEAST_SIDE = 32  # of a picture with keypoints
_RATIO = 0.8  # of the distances of a keypoint's best and second-best match; Lowe's
_LEAST_MATCHES = 20
_TOLERANCE = 1.5  # pixels that a keypoint may lie off
_TRIALS = 500


@dataclass(frozen=True)
class Keypoints:
    """positions: float64 [n, 2], x and y in pixels from the upper left corner; descriptors: uint8 [n, 128]."""

    positions: NDArray[np.float64]
    descriptors: NDArray[np.uint8]


def find_keypoints(picture: NDArray[np.uint8]) -> Keypoints:
    """Of uint8 [H, W, 3]; there may be none."""
    none = Keypoints(np.empty((0, 2)), np.empty((0, 128), dtype=np.uint8))
    if min(picture.shape[:2]) < _LEAST_SIDE:
        return none
    detector = SIFT()
    try:
        detector.detect_and_extract(picture.mean(axis=2) / 255.0)
    except RuntimeError:  # that there are none
        return none
    positions = np.asarray(detector.positions)[:, ::-1] + 0.5
    return Keypoints(positions, np.asarray(detector.descriptors))


def corners_by_keypoints(
    image: Keypoints, photo: Keypoints, height: int, width: int, reduction: float = 1.0
) -> NDArray[np.int32] | None:
    """Displacements [4, 2] of an image's corners to where they lie in a photo (see `warp`); None if they do not tell.

    height, width: of the image. reduction: how much larger image and photo are than what keypoints were found in.
    """
    if min(len(image.positions), len(photo.positions)) < _LEAST_MATCHES:
        return None
    distances, found = _nearest(image.descriptors, photo.descriptors, 2)
    clear = distances[:, 0] < _RATIO**2 * distances[:, 1]
    if clear.sum() < _LEAST_MATCHES or _mutual(image, photo, clear, found[:, 0]) < _LEAST_MATCHES:
        return None
    pairs = reduction * image.positions[clear], reduction * photo.positions[found[clear, 0]]
    with without_library_warnings:
        transform, inliers = ransac(
            pairs,
            ProjectiveTransform,
            min_samples=4,
            residual_threshold=_TOLERANCE * reduction,
            max_trials=_TRIALS,
            rng=0,
        )
    if transform is None or inliers.sum() < _LEAST_MATCHES:
        return None
    at = np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)
    steps = np.rint((transform(at) - at) * CORNER_STEPS)
    if not (np.abs(steps) <= MAX_DISPLACEMENT).all():
        return None
    return steps.astype(np.int32)


def _mutual(image: Keypoints, photo: Keypoints, clear: NDArray[np.bool_], found: NDArray[np.int64]) -> int:
    """How many clear matches are the best ones seen from the photo, too.

    Of photos that show different things some are clear by chance, and RANSAC takes longest to find nothing in them.
    """
    matched = np.flatnonzero(clear)
    _, back = _nearest(photo.descriptors[found[matched]], image.descriptors, 1)
    return int((back[:, 0] == matched).sum())


def _nearest(
    descriptors: NDArray[np.uint8], others: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Squared distances to the nearest of others, and which they are, both [n, count]."""
    return faiss.knn(descriptors.astype(np.float32), others.astype(np.float32), count)
