"""A dictionary version, loaded: keys, pictures and retrieval (paper §3.2 (2))."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clc.codec.stream_header import Scope
from clc.dictionary.retrieval.cache import KeyValueCache
from clc.dictionary.retrieval.queries import Query, merge
from clc.dictionary.retrieval.search import FaissIndex, KeyBallTree, KeyScan, SearchIndex, SearchMethod, nearest
from clc.dictionary.stages.features import FeatureConfig, FeatureExtractor, vectors_of
from clc.dictionary.stages.reduce import Basis
from clc.errors import CorruptArtifactError, DictionaryError, MissingArtifactError
from clc.images.patch import decode_patch
from clc.model.tiles import image_tiles
from clc.store import Store, Version

_CANDIDATES_PER_REFERENCE = 8  # of the coarse search, for each reference that the attention then selects


class Dictionary:
    """K entries that can be searched by picture.

    backbone: what computes the features, as in `FeatureConfig`; None for what the dictionary was built with, which
    another machine may have to name anew (file:PATH). method: the stored structure that is searched; None for the graph
    if it has one, else every key is compared, which needs no search library.
    queries, scope: what `retrieve` does by default.
    cache: lets the attention over its keys choose among the candidates of the search; without one, the nearest are
    chosen. Raises DictionaryError if the backbone computes other features.
    """

    def __init__(
        self,
        version: Version,
        backbone: str | None = None,
        method: SearchMethod | None = None,
        *,
        queries: Sequence[Query] = (Query.IDENTITY,),
        scope: Scope = Scope.TILE,
        cache: KeyValueCache | None = None,
    ) -> None:
        self.version = version
        self.queries = queries
        self.scope = scope
        self.cache = cache
        attributes = version.attributes
        backbone = backbone or version.statistics["backbone"]
        self.patch_size = int(attributes["patch_size"])
        config = FeatureConfig(backbone=backbone, levels=tuple(attributes["levels"]))
        self._extract = FeatureExtractor(config, Store(version.storage.display()))
        found = self._extract.backbone.fingerprint
        if found != attributes["backbone"]:
            raise DictionaryError(
                f"dictionary {version.short_id} was built with features {attributes['backbone']}, not {found} "
                f"(--backbone {backbone}); give the backbone it was built with"
            )
        entries = version.table("entries", columns=["key", "photo_sha256"])
        self.keys = vectors_of(entries["key"])
        self._photos = np.array(entries["photo_sha256"].to_pylist())
        self._basis = Basis(version.tensors("basis"))
        self._index: SearchIndex
        if method is None and not FaissIndex.is_graph(version.table("faiss")):
            self._index = KeyScan(self.keys)
        else:
            self._index = load_index(version, self.keys, method or SearchMethod.FAISS)

    def __len__(self) -> int:
        return len(self.keys)

    def keys_of(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Keys float32 [n, dim] of patches uint8 [n, H, W, 3]."""
        return self._basis.project(self._extract(patches))

    def retrieve(
        self,
        image: NDArray[np.uint8],
        number: int,
        *,
        scope: Scope | None = None,
        queries: Sequence[Query] | None = None,
        exclude_source: str | None = None,
    ) -> NDArray[np.int64]:
        """References for an image uint8 [H, W, 3]: int64 [T, number] for its T tiles, or [1, number] for all of it.

        queries: versions of the picture that are looked up; their answers are merged without duplicates, each with
        its best distance. None, and for the scope: what the constructor was given.
        exclude_source: `pixels_sha256` of the photo whose entries are left out, whatever it is called.
        Raises DictionaryError if fewer than `number` entries remain.
        """
        pictures = image_tiles(image) if (scope or self.scope) is Scope.TILE else image[None]
        excluded = None if exclude_source is None else [exclude_source] * len(pictures)
        return self._choose(pictures, number, queries or self.queries, excluded)

    def retrieve_tiles(
        self, tiles: NDArray[np.uint8], number: int, exclude_source: Sequence[str] | None = None
    ) -> NDArray[np.int64]:
        """`retrieve` for tiles uint8 [T, 256, 256, 3]: int64 [T, number], best first, ties by entry.

        exclude_source: for each tile, `pixels_sha256` of the photo whose entries are left out.
        """
        return self._choose(tiles, number, self.queries, exclude_source)

    def nearest(
        self,
        pictures: NDArray[np.uint8],
        number: int,
        queries: Sequence[Query],
        exclude_source: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Entries and distances, each [n, number], of the coarse search for pictures uint8 [n, H, W, 3]."""
        answers = [self.search(self.keys_of(query.apply(pictures)), number, exclude_source) for query in queries]
        entries, distances = (np.concatenate(parts, axis=1) for parts in zip(*answers, strict=True))
        return merge(entries, distances, number)

    def _choose(
        self,
        pictures: NDArray[np.uint8],
        number: int,
        queries: Sequence[Query],
        exclude_source: Sequence[str] | None,
    ) -> NDArray[np.int64]:
        if self.cache is None:
            return self.nearest(pictures, number, queries, exclude_source)[0]
        wanted = min(_CANDIDATES_PER_REFERENCE * number, max(number, len(self) - self._left_out(exclude_source)))
        candidates, _ = self.nearest(pictures, wanted, queries, exclude_source)
        weights, _ = self.cache.attend(self.cache.compression.queries(pictures), candidates)
        order = np.lexsort((candidates, -weights), axis=1)[:, :number]
        return np.take_along_axis(candidates, order, axis=1)

    def _left_out(self, exclude_source: Sequence[str] | None) -> int:
        """The most entries that a query loses to `exclude_source`."""
        return max((int((self._photos == photo).sum()) for photo in set(exclude_source or ())), default=0)

    def search(
        self, queries: NDArray[np.float32], number: int, exclude_source: Sequence[str] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Entries and Euclidean distances, each [n, number], for query keys [n, dim]; otherwise as `retrieve_tiles`."""
        excluded = [self._photos == photo for photo in exclude_source or []]
        left_out = self._left_out(exclude_source)
        if len(self) - left_out < number:
            raise DictionaryError(
                f"{number} references were asked for, but the dictionary offers only {len(self) - left_out} entries "
                "from other photos; build it with more entries or from more photos"
            )
        return nearest(self._index, self.keys, queries, number, excluded)

    def patch(self, entry: int) -> NDArray[np.uint8]:
        """The picture of an entry, uint8 [256, 256, 3].

        Raises MissingArtifactError if the version is here without the pictures of its entries.
        """
        for batch in self.version.batches("entries", columns=["image"], rows=range(entry, entry + 1)):
            data = batch.column("image")[0]
            if not data.is_valid:
                raise MissingArtifactError(
                    f"{self.version} is here without its patches; `clc dictionary photos` decodes whole photos"
                )
            return decode_patch(data.as_py())
        raise DictionaryError(f"dictionary {self.version.short_id} has no entry {entry}")


def load_index(version: Version, keys: NDArray[np.float32], method: SearchMethod) -> SearchIndex:
    """The stored search structure. Raises CorruptArtifactError if it does not belong to the keys."""
    index: SearchIndex
    if method is SearchMethod.FAISS:
        index = FaissIndex.load(version.table("faiss"))
        size = index.index.ntotal
    else:
        order = version.table("ball_tree_order")
        leaf_size = int(version.attributes["leaf_size"])
        index = KeyBallTree.load(keys, leaf_size, order, version.table("ball_tree_nodes"))
        size = len(order)
    if size != len(keys):
        raise CorruptArtifactError(f"{version}: its {method} index holds {size} keys, not {len(keys)}")
    return index
