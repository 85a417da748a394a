"""Photos of a dictionary that show what an image shows, from another place: found, and brought into line with it.

The encoder's side of aligned references. Photos are tried as they lie, and as keypoints tell, refined where one plane
does not fit; those are taken that leave the least of the image unexplained.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clc.codec.decisions.block_costs import costs_after, costs_alone
from clc.codec.references.displacement_section import is_allowed, pack_displacements
from clc.codec.references.displacements import Displacements
from clc.codec.references.protocols import Alignment, NamedPhotos
from clc.codec.references.warp import warp
from clc.errors import BitstreamError

if TYPE_CHECKING:
    from clc.dictionary.retrieval.keypoints import Keypoints

_CANDIDATES = 32  # photos that are tried as they lie, those first which the search found most entries of
_COMPARED = 8  # of them, by keypoints
_EXPLAINED = 0.5  # of an image's cost: if no more is left, the camera has not moved, and keypoints find nothing better
_REMEMBERED = 64  # photos whose keypoints are kept: a megabyte or so each
_REDUCTION = 2  # of the pictures that are compared: a quarter of the time, and keypoints enough
_WORTHWHILE = 0.03  # of an image's cost that another photo must save
_BITS = 8.0  # that a unit of cost stands for, at full size and middle qualities; what displacements take is compared


class PhotoAligner:
    """`clc.codec.references.protocols.Aligner` over the photos that a dictionary shows as a whole.

    moved: look for photos from other places too, which takes scikit-image and FAISS. refined: with displacements, where
    they pay.
    """

    def __init__(self, photos: NamedPhotos, *, moved: bool = True, refined: bool = True) -> None:
        self._photos = photos
        self._looks_further = moved
        self._refines = refined
        self._shown = photos.shown()
        self._reduced = lru_cache(_REMEMBERED)(lambda name: _reduced(photos.photo(name)))
        self._keypoints = lru_cache(_REMEMBERED)(self._find_keypoints)

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment | None:
        """At most `number` photos for an image uint8 [H, W, 3], the best first; None if none is like it.

        A camera that has not moved is tried first, with every photo of the image's size: that takes no keypoints.
        candidates: entries [Q, N] that a search found for it.
        """
        names = self._worth_trying(candidates)
        if not names:
            return None
        reduced = _reduced(image)
        alone = costs_alone(reduced)
        still = [
            self._offer(name, np.zeros((4, 2), dtype=np.int32), reduced)
            for name in names
            if self._photos.size(name) == image.shape[:2]
        ]
        chosen = _chosen(still, alone, number)
        if self._looks_further and _left(chosen, alone) > _EXPLAINED * alone.sum():
            chosen = _chosen([*still, *self._moved(image, reduced, names, still)], alone, number)
        if not chosen:
            return None
        entries = np.array([offer.name for offer in chosen], dtype=np.int64)
        displacements = tuple(self._displacements(image, offer) for offer in chosen)
        return Alignment(entries, np.stack([offer.corners for offer in chosen]), displacements)

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
        cost = costs_after(reduced, seen)
        if self._refines and corners.any():
            from clc.dictionary.retrieval.parallax import HALVED, find_displacements

            for grid in find_displacements(reduced, seen, HALVED)[-1:]:
                seen = warp(self._reduced(name), shrunk, height, width, (height, width), grid)
                cost = np.minimum(cost, costs_after(reduced, seen))
        return _Offer(name, corners, cost)

    def _displacements(self, image: NDArray[np.uint8], offer: "_Offer") -> Displacements | None:
        """What refines a photo, if it saves more than it takes. A camera that has not moved needs nothing."""
        if not self._refines or not offer.corners.any():
            return None
        from clc.dictionary.retrieval.parallax import find_displacements

        height, width = image.shape[:2]
        photo, alone = self._photos.photo(offer.name), costs_alone(image)

        def seen(grid: Displacements | None) -> NDArray[np.uint8]:
            return warp(photo, offer.corners, height, width, (height, width), grid)

        plain = seen(None)
        found = [grid for grid in find_displacements(image, plain) if is_allowed(height, width, grid.spacing)]
        options = [(None, plain), *((grid, seen(grid)) for grid in found)]
        return min(options, key=lambda option: _bits(np.minimum(costs_after(image, option[1]), alone), option[0]))[0]

    def _moved(
        self, image: NDArray[np.uint8], reduced: NDArray[np.uint8], names: list[int], still: "list[_Offer]"
    ) -> "Iterator[_Offer]":
        """As keypoints tell: of the photos that are nearest as they lie, and of those that the search found most of."""
        from clc.dictionary.retrieval.keypoints import corners_by_keypoints, find_keypoints  # takes long to import

        nearest = sorted(still, key=lambda offer: float(offer.cost.sum()))
        tried = dict.fromkeys([*(offer.name for offer in nearest[: _COMPARED // 2]), *names])
        own = find_keypoints(reduced)
        for name in list(tried)[:_COMPARED]:
            corners = corners_by_keypoints(own, self._keypoints(name), image.shape[0], image.shape[1], _REDUCTION)
            if corners is not None:
                with suppress(BitstreamError):
                    yield self._offer(name, corners, reduced)

    def _find_keypoints(self, name: int) -> "Keypoints":
        from clc.dictionary.retrieval.keypoints import find_keypoints

        return find_keypoints(self._reduced(name))


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


def _bits(cost: NDArray[np.float64], grid: Displacements | None) -> float:
    """About what an image takes, by the cost of its blocks, with the displacements themselves."""
    return _BITS * float(cost.sum()) + 8 * len(pack_displacements((grid,)) or b"")


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
