"""Retrieval options: what a query is, and which augmented versions of it are asked as well (paper §3.2 (2))."""

from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clc.codec.stream_header import Scope
from clc.dictionary.retrieval.cache import CAPACITY


class Query(StrEnum):
    """A version of the picture that is looked up: the multi-query strategy of the paper."""

    IDENTITY = "identity"
    ROTATE_90 = "rotate90"
    ROTATE_180 = "rotate180"
    ROTATE_270 = "rotate270"
    FLIP = "flip"

    def apply(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The version of pictures [n, H, W, 3]; rotations by 90° and 270° swap H and W."""
        if self is Query.FLIP:
            return pictures[:, :, ::-1]
        turns = {Query.IDENTITY: 0, Query.ROTATE_90: 1, Query.ROTATE_180: 2, Query.ROTATE_270: 3}[self]
        return np.rot90(pictures, turns, axes=(1, 2))


class RetrievalConfig(BaseModel):
    """How references are found for a picture. A model keeps what it was trained with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queries: tuple[Query, ...] = Field(
        default=(Query.IDENTITY,), min_length=1, description="versions of the picture that are looked up"
    )
    scope: Literal[Scope.IMAGE, Scope.TILE] = Field(default=Scope.TILE, description="what a set of references is for")
    attention: bool = Field(
        default=True, description="let the model's attention (eq. 1) choose among the candidates of the search"
    )
    cache_entries: int = Field(default=CAPACITY, ge=1, description="entries N of the KV-cache")
    cache_bytes: int | None = Field(default=None, ge=1, description="memory of the KV-cache, instead of cache_entries")


def merge(
    entries: NDArray[np.int64], distances: NDArray[np.float32], number: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best `number` distinct entries of several answers to one query.

    entries, distances: [n, candidates] with at least `number` distinct entries a row. Each entry keeps its best
    distance; ties go to the lower entry.
    """
    best = np.empty((len(entries), number), dtype=np.int64)
    best_distances = np.empty((len(entries), number), dtype=np.float32)
    for row, (own, distance) in enumerate(zip(entries, distances, strict=True)):
        order = np.lexsort((own, distance))
        _, first = np.unique(own[order], return_index=True)
        kept = order[np.sort(first)[:number]]
        best[row], best_distances[row] = own[kept], distance[kept]
    return best, best_distances
