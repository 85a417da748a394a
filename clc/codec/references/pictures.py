"""A dictionary's photos, put together again from the entries that were cut from them: where it has no `references`."""

from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clc.errors import MissingArtifactError
from clc.images.patch import decode_patch
from clc.model.limits import TILE_SIZE
from clc.store import Version

_REMEMBERED = 8
_CELL = 32  # pixels along each side of what is looked at to tell how much entries show
_COVERAGE = 0.5  # of a photo worth aligning, up to the last row and column that is kept: what is flat was not


class DictionaryPhotos:
    """The photos of a dictionary version, as `clc.codec.references.protocols.ReferencePhotos`."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._photo = lru_cache(_REMEMBERED)(self._put_together)

    @cached_property
    def _entries(self) -> list[NDArray[np.int64]]:
        """Of each photo, ascending."""
        order = np.argsort(self._number, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self._number[order])) + 1)

    @cached_property
    def _number(self) -> NDArray[np.int64]:
        """The photo of each entry, as a number."""
        photos = self._table["photo_sha256"].combine_chunks().dictionary_encode()
        numbers: NDArray[np.int64] = photos.indices.to_numpy().astype(np.int64)
        return numbers

    @cached_property
    def _table(self) -> pa.Table:
        return self._version.table("entries", columns=["photo_sha256", "x", "y"])

    @cached_property
    def _positions(self) -> NDArray[np.int64]:
        """[K, 2]: x and y of every entry in its photo."""
        positions = [self._table[column].to_numpy() for column in ("x", "y")]
        return np.stack(positions, axis=1).astype(np.int64)

    @cached_property
    def _pictured(self) -> bool:
        """False for what came with a product (`clc.store.shipped`)."""
        first = next(self._version.batches("entries", columns=["image"], batch_rows=1))
        return first.column("image").null_count == 0

    def name(self, entry: int) -> int:
        """The first of the entries that were cut from the same photo."""
        return int(self._entries[self._number[entry]][0])

    def size(self, entry: int) -> tuple[int, int]:
        """Height and width of the photo that an entry was cut from, up to the last row and column that is shown."""
        return self._size(self._entries[self._number[entry]])

    def shown(self) -> list[int]:
        """The first entry of each photo of which entries show at least half, up to the last row and column they show.

        Empty without their pictures, or if they are samples from anywhere: they are not meant to show photos.
        """
        if self._version.attributes.get("stride") is None or not self._pictured:
            return []
        return [int(rows[0]) for rows in self._entries if self._coverage(rows) >= _COVERAGE]

    @property
    def bytes(self) -> int:
        """Of the file that holds the pictures; 0 if no photo is shown."""
        return self._version.manifest.files["entries"].bytes if self.shown() else 0

    def key(self, entry: int) -> tuple[str, int]:
        """The version, and the photo that an entry was cut from."""
        return self._version.id, int(self._number[entry])

    def photo(self, entry: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3], grey where no entry shows it, up to the last row and column that one does.

        Raises MissingArtifactError if the version is here without the pictures of its entries.
        """
        if not self._pictured:
            raise MissingArtifactError(
                f"{self._version} is here without the pictures of its entries, which aligned references need; "
                "import it from where it was built (`clc latents export`)"
            )
        return self._photo(int(self._number[entry]))

    def _coverage(self, rows: NDArray[np.int64]) -> float:
        cells = np.zeros([-(-side // _CELL) for side in self._size(rows)], dtype=bool)
        for x, y in self._positions[rows]:
            cells[y // _CELL : -(-(y + TILE_SIZE) // _CELL), x // _CELL : -(-(x + TILE_SIZE) // _CELL)] = True
        return float(cells.mean())

    def _size(self, rows: NDArray[np.int64]) -> tuple[int, int]:
        width, height = (self._positions[rows].max(axis=0) + TILE_SIZE).tolist()
        return height, width

    def _put_together(self, number: int) -> NDArray[np.uint8]:
        rows = self._entries[number].tolist()
        photo = np.full((*self._size(self._entries[number]), 3), 128, dtype=np.uint8)
        wanted = range(rows[0], rows[-1] + 1)
        images = (
            image
            for batch in self._version.batches("entries", columns=["image"], rows=wanted)
            for image in batch.column("image")
        )
        for row, image in zip(wanted, images, strict=True):
            if self._number[row] == number:
                x, y = self._positions[row]
                photo[y : y + TILE_SIZE, x : x + TILE_SIZE] = decode_patch(image.as_py())
        return photo
