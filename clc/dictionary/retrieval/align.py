"""Photos of a dictionary that show what an image shows, from another place: found, and brought into line with it.

The encoder's side of aligned references. Photos are tried as they lie, and as keypoints tell, refined where one plane
does not fit; those are taken that leave the least of the image unexplained.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clc.codec.decisions.block_costs import costs_after, costs_alone
from clc.codec.references.displacement_section import is_allowed, pack_displacements
from clc.codec.references.protocols import Alignment, NamedPhotos
from clc.codec.references.view import View
from clc.dictionary.retrieval.predicted_cost import ALIKE
from clc.dictionary.retrieval.relight import in_best_light
from clc.errors import BitstreamError

if TYPE_CHECKING:
    from clc.dictionary.retrieval.keypoints import Keypoints

_CANDIDATES = 32  # photos that are tried as they lie, those first which the search found most entries of
_COMPARED = 8  # of them, by keypoints
_EXPLAINED = 0.5  # of an image's cost: if more is left by photos as they lie, keypoints may find better ones
_MOVED = 0.92  # of what is left: displacements leave 0.96 and more if the camera has not moved, else 0.88 at most
_REMEMBERED = 64  # photos whose keypoints are kept: a megabyte or so each
_REDUCTION = 2  # of the pictures that are compared: a quarter of the time, and keypoints enough
_COMPARED_PIXELS = 2**20  # of larger ones, smaller ones are compared
# Another photo must save so much of an image's cost; or as much alone, beside what the best one saves: pictures are
# blended with all, and what the photos have in common shows through their noise.
_WORTHWHILE = 0.03


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
        self._reduced = lru_cache(_REMEMBERED)(lambda name, by: _reduced(photos.photo(name), by))
        self._keypoints = lru_cache(_REMEMBERED)(self._find_keypoints)

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment | None:
        """At most `number` photos for an image uint8 [H, W, 3], the best first; None if none is like it.

        A camera that has not moved is tried first, with every photo of the image's size: that takes no keypoints.
        candidates: entries [Q, N] that a search found for it.
        """
        names = self._worth_trying(candidates)
        if not names:
            return None
        own = _Compared.of(image)
        still = [
            self._offer(name, np.zeros((4, 2), dtype=np.int32), own)
            for name in names
            if self._photos.size(name) == image.shape[:2]
        ]
        chosen = _chosen(still, own.alone, number)
        if self._looks_further and self._has_moved(chosen, own):
            moved = self._moved(own, self._worth_comparing(names, still))
            chosen = _chosen([*still, *moved], own.alone, number)
        if not chosen:
            return None
        entries = np.array([offer.name for offer in chosen], dtype=np.int64)
        return Alignment(entries, tuple(self._refined(image, offer) for offer in chosen))

    def _worth_trying(self, candidates: NDArray[np.int64]) -> list[int]:
        """Names of the photos that candidates come from, most frequent first; then others, where there are few."""
        if not self._shown:
            return []
        names, votes = np.unique([self._photos.name(entry) for entry in candidates.ravel()], return_counts=True)
        ranked = [*names[np.argsort(-votes, kind="stable")].tolist(), *self._shown]
        shown = set(self._shown)
        return [name for name in dict.fromkeys(ranked) if name in shown][:_CANDIDATES]

    def _offer(self, name: int, corners: NDArray[np.int32], own: "_Compared") -> "_Offer":
        """Raises BitstreamError if no camera sees it so."""
        height, width = own.pixels.shape[:2]
        photo, view = self._reduced(name, own.by), View(np.rint(corners / own.by).astype(np.int32))
        seen = view.of(photo, height, width)
        light, cost = in_best_light(own.pixels, seen, own.alone)
        if self._refines and corners.any():
            from clc.dictionary.retrieval.parallax import HALVED, find_displacements

            view = replace(view, light=light)
            for grid in find_displacements(own.pixels, view.of(photo, height, width), HALVED)[-1:]:
                seen = replace(view, displacements=grid).of(photo, height, width)
                cost = np.minimum(cost, costs_after(own.pixels, seen))
        return _Offer(name, View(corners, light=light), cost)

    def _refined(self, image: NDArray[np.uint8], offer: "_Offer") -> View:
        """With displacements, if these save more than they take. A camera that has not moved needs none."""
        if not self._refines or not offer.view.corners.any():
            return offer.view
        from clc.dictionary.retrieval.parallax import BITS, find_displacements

        height, width = image.shape[:2]
        photo, alone = self._photos.photo(offer.name), costs_alone(image)
        found = find_displacements(image, offer.view.of(photo, height, width))
        grids = (grid for grid in found if is_allowed(height, width, grid.spacing))
        views = [offer.view, *(replace(offer.view, displacements=grid) for grid in grids)]

        def bits(view: View) -> float:
            left = np.minimum(costs_after(image, view.of(photo, height, width)), alone)
            return BITS * float(left.sum()) + 8 * len(pack_displacements((view.displacements,)) or b"")

        return min(views, key=bits)

    def _has_moved(self, still: "list[_Offer]", own: "_Compared") -> bool:
        """Whether photos as they lie leave too much, or more than the best of them displaced: by half a pixel, say."""
        if _left(still, own.alone) > _EXPLAINED * own.alone.sum():
            return True
        if not still:  # it is of one colour
            return False
        from clc.dictionary.retrieval.parallax import HALVED, find_displacements

        best, (height, width) = still[0], own.pixels.shape[:2]
        photo, least = self._reduced(best.name, own.by), _MOVED * _cost(best, own.alone)
        grids = find_displacements(own.pixels, best.view.of(photo, height, width), HALVED[:2])
        displaced = (replace(best.view, displacements=grid).of(photo, height, width) for grid in grids[-1:])
        return any(np.minimum(costs_after(own.pixels, seen), own.alone).sum() < least for seen in displaced)

    def _worth_comparing(self, names: list[int], still: "list[_Offer]") -> list[int]:
        """Names of the photos that are nearest as they lie, then of those that the search found most entries of."""
        nearest = sorted(still, key=lambda offer: float(offer.cost.sum()))
        tried = dict.fromkeys([*(offer.name for offer in nearest[: _COMPARED // 2]), *names])
        return list(tried)[:_COMPARED]

    def _moved(self, own: "_Compared", names: list[int]) -> "Iterator[_Offer]":
        """As keypoints tell."""
        from clc.dictionary.retrieval.keypoints import corners_by_keypoints, find_keypoints  # takes long to import

        found = find_keypoints(own.pixels)
        for name in names:
            corners = corners_by_keypoints(found, self._keypoints(name, own.by), *own.size, own.by)
            if corners is not None:
                with suppress(BitstreamError):
                    yield self._offer(name, corners, own)

    def _find_keypoints(self, name: int, by: int) -> "Keypoints":
        from clc.dictionary.retrieval.keypoints import find_keypoints

        return find_keypoints(self._reduced(name, by))


@dataclass(frozen=True)
class _Compared:
    """An image of `size`, height and width, as it is compared: its pixels, smaller by `by`.

    alone: cost of their blocks, float64 [rows, columns].
    """

    size: tuple[int, int]
    by: int
    pixels: NDArray[np.uint8]
    alone: NDArray[np.float64]

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> "_Compared":
        height, width = image.shape[:2]
        by = _REDUCTION
        while height * width > _COMPARED_PIXELS * by**2:
            by *= 2
        pixels = _reduced(image, by)
        return cls((height, width), by, pixels, costs_alone(pixels))


@dataclass(frozen=True)
class _Offer:
    """A photo, seen so. cost: float64 [rows, columns] of the blocks of an image that it would predict."""

    name: int
    view: View
    cost: NDArray[np.float64]


def _chosen(offers: list[_Offer], alone: NDArray[np.float64], number: int) -> list[_Offer]:
    """Those that together explain an image best: one by one, while it is worth it.

    alone: cost of its blocks without any.
    """
    chosen: list[_Offer] = []
    best, left = alone, offers
    while left and len(chosen) < number:
        offer = min(left, key=lambda each: _cost(each, best))
        if best.sum() - _cost(offer, best) <= _WORTHWHILE * alone.sum():
            offer = min(left, key=lambda each: _cost(each, alone))
            if not chosen or alone.sum() - _cost(offer, alone) < ALIKE * (alone.sum() - _cost(chosen[0], alone)):
                break
        left = [each for each in left if each.name != offer.name]
        chosen.append(offer)
        best = np.minimum(best, offer.cost)
    return chosen


def _cost(offer: _Offer, before: NDArray[np.float64]) -> float:
    """Of an image whose blocks cost so much before."""
    return float(np.minimum(offer.cost, before).sum())


def _left(chosen: list[_Offer], alone: NDArray[np.float64]) -> float:
    """What is left of the cost of an image."""
    return float(np.minimum.reduce([alone, *(offer.cost for offer in chosen)]).sum())


def _reduced(image: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Means of `by`×`by` pixels; last rows and columns that are no whole ones are left out."""
    height, width = (max(1, side // by) for side in image.shape[:2])
    part = image[: height * by, : width * by]
    if part.shape[0] < by or part.shape[1] < by:
        return part
    return part.reshape(height, by, width, by, 3).mean(axis=(1, 3)).round().astype(np.uint8)
