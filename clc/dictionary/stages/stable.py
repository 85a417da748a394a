"""Entries that stay: of two dictionaries that serve the photos alike, the one that changes less is preferred.

What refers to an entry that goes has lost it, and a photo more moves all centroids a little. So a rebuild starts from
the entries that there are, and keeps them as long as patches lie hardly further from their representatives for it.
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
class Clustering:
    """labels, distances: of each patch, to its centroid; centroids float32 [K, dim]."""

    centroids: NDArray[np.float32]
    labels: NDArray[np.int64]
    distances: NDArray[np.float32]


@dataclass(frozen=True)
class Chosen:
    """representatives: a row for each centroid, -1 for those without a member. cost: the squared distances of all
    patches to their representatives."""

    representatives: NDArray[np.int64]
    cost: float


def nearest_members(
    clustering: Clustering, distinct: NDArray[np.bool_], among: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """For each centroid the row of the member that is nearest to it, -1 where there is none.

    among: rows to choose from.
    """
    rows = np.flatnonzero(distinct)
    if among is not None:
        rows = np.intersect1d(rows, among)
    order = rows[np.lexsort((rows, clustering.distances[rows], clustering.labels[rows]))]
    used, first = np.unique(clustering.labels[order], return_index=True)
    found = np.full(len(clustering.centroids), -1)
    found[used] = order[first]
    return found


def keep_entries(
    clustering: Clustering,
    distinct: NDArray[np.bool_],
    earlier: NDArray[np.int64],
    batches: Callable[[], Iterator[NDArray[np.float32]]],
    most: float,
) -> Chosen:
    """Representatives, of which as many are `earlier` entries as the cost stays at most `most` for.

    The cheapest are kept first. batches: the keys of all patches, in order.
    """
    nearest = nearest_members(clustering, distinct)
    kept = nearest_members(clustering, distinct, earlier)
    costs = _costs(clustering, distinct, [nearest, kept], batches)
    more = np.where(kept >= 0, costs[1] - costs[0], np.inf)
    order = np.argsort(more, kind="stable")
    total = float(costs[0].sum())
    affordable = total + np.cumsum(more[order]) <= most
    chosen = nearest.copy()
    keep = order[affordable]
    chosen[keep] = kept[keep]
    return Chosen(chosen, total + float(more[keep].sum()))


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


def _costs(
    clustering: Clustering,
    distinct: NDArray[np.bool_],
    choices: list[NDArray[np.int64]],
    batches: Callable[[], Iterator[NDArray[np.float32]]],
) -> list[NDArray[np.float64]]:
    """For each choice of representatives, the squared distances of each cluster's members to its own."""
    clusters, dim = clustering.centroids.shape
    sums, squares = np.zeros((clusters, dim)), np.zeros(clusters)
    picked = [np.zeros((clusters, dim)) for _ in choices]
    start = 0
    for keys in batches():
        stop = start + len(keys)
        inside = distinct[start:stop]
        labels, wide = clustering.labels[start:stop][inside], keys[inside].astype(np.float64)
        np.add.at(sums, labels, wide)
        squares += np.bincount(labels, np.square(wide).sum(axis=1), clusters)
        for choice, found in zip(choices, picked, strict=True):
            here = (choice >= start) & (choice < stop)
            found[here] = keys[choice[here] - start]
        start = stop
    sizes = np.bincount(clustering.labels[distinct], minlength=clusters)
    # Σ‖k − r‖² of the members k of a cluster = Σ‖k‖² − 2 r·Σk + n‖r‖²
    return [squares - 2 * (keys * sums).sum(axis=1) + sizes * np.square(keys).sum(axis=1) for keys in picked]
