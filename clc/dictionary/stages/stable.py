"""Entries that stay: of two dictionaries that serve the photos alike, the one that changes less is preferred.

A photo more moves all centroids a little, and with them most entries, for nothing: as many patches lie as near to the
entries that there were. So a rebuild keeps these, as far as patches lie hardly further from an entry for it.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clc.errors import MissingArtifactError
from clc.store import Kind, Store, Version

logger = logging.getLogger(__name__)

_MOSTLY = 0.5


@dataclass(frozen=True)
class Earlier:
    """A dictionary whose entries are to be kept where that costs little.

    patches: those that are clustered now; before: those that it was made from, None if they are gone.
    """

    dictionary: Version
    patches: Version
    before: Version | None

    @classmethod
    def of(cls, dictionary: Version, patches: Version, store: Store) -> "Earlier":
        """With its own patches, if the store still has them."""
        try:
            before = store.get(Kind.PATCHES, dictionary.manifest.recipe.inputs["patches"])
        except MissingArtifactError:
            before = None
        return cls(dictionary, patches, before)

    def rows(self) -> NDArray[np.int64]:
        """The patches that are its entries, ascending; the first of several that are equal."""
        hashes = self.patches.table("patches", columns=["pixels_sha256"])["pixels_sha256"].to_pylist()
        first: dict[str, int] = {}
        for row, sha256 in enumerate(hashes):
            first.setdefault(sha256, row)
        entries = self.dictionary.table("entries", columns=["pixels_sha256"])["pixels_sha256"].to_pylist()
        return np.array(sorted({first[sha256] for sha256 in entries if sha256 in first}), dtype=np.int64)

    def new_patches(self) -> float:
        """The share of patches from photos that it was not made from; all of them if that is not known."""
        if self.before is None:
            return 1.0
        known = set(self.before.table("photos", columns=["photo_sha256"])["photo_sha256"].to_pylist())
        photos = self.patches.table("patches", columns=["photo_sha256"])["photo_sha256"].to_pylist()
        return sum(photo not in known for photo in photos) / len(photos)

    @property
    def count(self) -> int:
        """Entries that it has."""
        return self.dictionary.rows("entries")


@dataclass(frozen=True)
class Candidates:
    """The keys of the patches that take part, read in batches. distinct: which of all patches these are."""

    batches: Callable[[], Iterator[NDArray[np.float32]]]
    distinct: NDArray[np.bool_]

    def keys(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Those at these rows [n, dim], in their order."""
        parts = []
        for start, keys, _ in self._read():
            here = rows[(rows >= start) & (rows < start + len(keys))]
            parts.append(keys[np.sort(here) - start])
        ascending = np.concatenate(parts)
        return ascending[np.argsort(np.argsort(rows, kind="stable"), kind="stable")]

    def cost(self, rows: NDArray[np.int64]) -> float:
        """Squared distances of all patches to the nearest of the entries at these rows."""
        entries = self.keys(rows)
        return sum(float(_squares(keys[inside], entries).min(axis=1).sum()) for _, keys, inside in self._read())

    def losses(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """By how much the cost would grow without each of these entries."""
        entries = self.keys(rows)
        lost = np.zeros(len(rows))
        for _, keys, inside in self._read():
            squares = _squares(keys[inside], entries)
            if len(rows) > 1 and len(squares):
                two = np.partition(squares, 1, axis=1)[:, :2].astype(np.float64)
                lost += np.bincount(squares.argmin(axis=1), two[:, 1] - two[:, 0], len(rows))
        return lost

    def gains(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        """By how much each of these entries would lower the cost of the others."""
        entries, there = self.keys(rows), self.keys(others)
        won = np.zeros(len(rows))
        for _, keys, inside in self._read():
            now = _squares(keys[inside], there).min(axis=1, initial=np.inf, keepdims=True)
            won += np.maximum(now - _squares(keys[inside], entries), 0.0).sum(axis=0, dtype=np.float64)
        return won

    def _read(self) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        start = 0
        for keys in self.batches():
            yield start, keys, self.distinct[start : start + len(keys)]
            start += len(keys)


def steadiest(
    candidates: Candidates, afresh: NDArray[np.int64], earlier: NDArray[np.int64], entries: int, share: float
) -> NDArray[np.int64]:
    """Rows of at most so many entries: as many earlier ones as serve at most `share` worse than those chosen afresh.

    Earlier ones go first that would be missed least, and those chosen afresh come first that help most; 1, 3, 7, …
    are exchanged until that serves.
    """
    earlier = earlier[candidates.distinct[earlier]]
    if not len(earlier):
        return afresh
    earlier = earlier[np.argsort(-candidates.losses(earlier), kind="stable")]
    helpful = afresh[np.argsort(-candidates.gains(afresh, earlier), kind="stable")]
    most = (1.0 + share) * candidates.cost(afresh)
    keep, fewer = min(len(earlier), entries), 1
    while keep > 0:  # half-way from one set to the other, cost is above both ends: few changes are tried first
        rest = helpful[~np.isin(helpful, earlier[:keep])][: entries - keep]
        mixed = np.sort(np.concatenate([earlier[:keep], rest]))
        if candidates.cost(mixed) <= most:
            return mixed
        keep, fewer = keep - fewer, 2 * fewer
    return np.sort(afresh)


def say_what_stays(kept: int, entries: int, earlier: int, new_patches: float) -> None:
    """Log it, as a warning where a few new patches change most of a dictionary. new_patches: their share of all."""
    gone = earlier - kept
    logger.info("stage=cluster kept=%d of=%d entries=%d", kept, earlier, entries)
    if gone > _MOSTLY * earlier and new_patches < _MOSTLY * gone / earlier:
        logger.warning(
            "stage=cluster %d of %d entries are replaced, although %.0f %% of the patches are new; fewer entries, more "
            "patches a photo or a larger cluster.stable make the dictionary steadier",
            *(gone, earlier, 100 * new_patches),
        )


def _squares(keys: NDArray[np.float32], entries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances [n, K]."""
    norms = np.square(keys).sum(axis=1)[:, None] + np.square(entries).sum(axis=1)
    return np.maximum(norms - 2.0 * keys @ entries.T, 0.0)
