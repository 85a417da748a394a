"""Which photos of a source are worth being references: those that save more than they take.

A facility-location problem, as the key photos of an archive are. But here photos stand for others like them, which are
coded later: what they take themselves does not count, and each is judged by what the others leave of it, together.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from clc.dictionary.retrieval.predicted_cost import ALIKE, DISTORTION, cost_given, is_helped, rate_finer
from clc.dictionary.retrieval.resemblance import LEAST, BlockCosts, block_costs, thumbnail
from clc.errors import ImageError
from clc.images import EncodedPhoto, PhotoSource
from clc.images.decode import decode
from clc.model.limits import MAX_REFERENCES
from clc.runtime.cores import available_cores
from clc.runtime.prefetch import in_parallel
from clc.runtime.remarks import remark

CHOICE_VERSION = 6
"""Of the stage: raised whenever the same photos may be chosen otherwise, as when what is predicted changes."""
_COMPARED = 64  # photos with each
_FINER = 40.0  # steps of quality by which references are finer than what refers to them


def chosen_photos(photos: PhotoSource, meant_for: int, least_side: int) -> frozenset[str]:
    """Names of the photos that pay for themselves, if so many others are coded; all, if none does.

    least_side: pixels; smaller photos are none. Raises SourceError if the source cannot be read.
    """
    names: list[str] = []
    thumbnails: list[NDArray[np.uint8]] = []
    threads = available_cores()
    looked_at = partial(_looked_at, least_side=least_side)
    for name, small in in_parallel(looked_at, photos.encoded(), threads=threads, prepare=lambda: None):
        if small is not None:
            names.append(name)
            thumbnails.append(small)
    if len(names) < 2:
        return frozenset(names)
    seen = block_costs(thumbnails, candidates=_COMPARED, threads=threads)
    chosen = worth_keeping(seen, meant_for)
    if not chosen:
        remark(photos.spec, f"no photo saves more than it takes if {meant_for:,} photos are coded; all are kept")
        return frozenset(names)
    return frozenset(names[photo] for photo in chosen)


def _looked_at(photo: EncodedPhoto, *, least_side: int) -> tuple[str, NDArray[np.uint8] | None]:
    try:
        pixels = decode(photo.read(), name=photo.image_id)
    except ImageError:  # whoever cuts patches says so
        return photo.image_id, None
    return photo.image_id, thumbnail(pixels) if min(pixels.shape[:2]) >= least_side else None


def worth_keeping(seen: BlockCosts, meant_for: int) -> list[int]:
    """The photos, ascending, that are worth it together: one by one, each the one that saves the most.

    meant_for: how many are coded later; at least as many as there are, or a photo that was compared with few others
    would seem to be of little use.
    """
    count = len(seen.alone)
    weight = max(1.0, meant_for / count)
    saving = _Saving(seen)
    opening = rate_finer(_FINER) * np.array([each.sum() for each in seen.alone])
    chosen: list[int] = []
    while len(chosen) < count:
        gains = weight * np.bincount(seen.others.ravel(), saving.saved.ravel(), count) - opening
        gains[chosen] = -np.inf
        photo = int(np.argmax(gains))
        if gains[photo] <= 0:
            break
        chosen.append(photo)
        saving.choose(photo)
    return sorted(chosen)


class _Saving:
    """saved: [N, K], what each photo would take less if the other of that column were chosen, too."""

    def __init__(self, seen: BlockCosts) -> None:
        self._seen = seen
        self._best = [each.astype(np.float32) for each in seen.alone]  # of each block, with what is chosen
        self._chosen: list[list[float]] = [[] for _ in seen.alone]  # the share that each of them explains by itself
        self._explained = [self._shares(photo) for photo in range(len(seen.alone))]
        self.saved = np.stack([self._row(photo) for photo in range(len(self._best))])

    def choose(self, other: int) -> None:
        """Take one more."""
        for photo, place in zip(*np.nonzero(self._seen.others == other), strict=True):
            self._best[photo] = np.minimum(self._best[photo], self._seen.given[photo][place])
            self._chosen[photo].append(float(self._explained[photo][place]))
            self.saved[photo] = self._row(int(photo))

    def _row(self, photo: int) -> NDArray[np.float64]:
        alone, best = float(self._seen.alone[photo].sum()), self._best[photo]
        left = np.minimum(best, self._seen.given[photo]).sum(axis=(1, 2), dtype=np.float64)
        more, chosen = self._explained[photo], np.array(self._chosen[photo])[:, None]
        before = self._cost(np.array([best.sum()]), alone, _alike(chosen))
        after = self._cost(left, alone, _alike(np.vstack([np.repeat(chosen, len(more), axis=1), more])))
        return np.maximum(before - after, 0.0)

    def _shares(self, photo: int) -> NDArray[np.float64]:
        """[K], of a photo's cost: what each of the others explains by itself."""
        left = self._seen.given[photo].sum(axis=(1, 2), dtype=np.float64)
        return 1.0 - left / max(float(self._seen.alone[photo].sum()), LEAST)

    def _cost(self, left: NDArray[np.float64], alone: float, alike: NDArray[np.float64]) -> NDArray[np.float64]:
        share = left / max(alone, LEAST)
        helped = is_helped(share, np.array(alone), np.array(np.inf))
        return alone * np.where(helped, cost_given(share, alike), 1.0 + DISTORTION)


def _alike(explained: NDArray[np.float64]) -> NDArray[np.float64]:
    """With how many of n photos a picture is blended that explain such shares of it: [n, K] → [K]."""
    number = (explained >= ALIKE * explained.max(axis=0, initial=0.0)).sum(axis=0)
    return np.clip(number, 1, MAX_REFERENCES).astype(np.float64)
