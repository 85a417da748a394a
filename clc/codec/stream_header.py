"""What a decoder must know before the payload of a `.clc` stream: sizes, models, and what references are for."""

import math
from dataclasses import dataclass
from enum import StrEnum

from clc.codec.packing import check_range
from clc.errors import BitstreamError
from clc.model.limits import MAX_REFERENCES, TILE_SIZE

FORMAT_VERSION = 6
"""What this release writes."""
MAX_INDEX_BITS = 31
MAX_SIDE = 65_535
NO_DICTIONARY = "0" * 16


def tile_count(height: int, width: int) -> int:
    """Number of 256×256 tiles of an image; the last of a row or column may reach beyond it."""
    return math.ceil(height / TILE_SIZE) * math.ceil(width / TILE_SIZE)


class Scope(StrEnum):
    """What references are retrieved for."""

    TILE = "tile"  # for each 256×256 tile
    IMAGE = "image"  # once for the whole image, as in the paper
    ALIGNED = "aligned"  # once for the whole image: whole photos, brought into line with it
    BLENDED = "blended"  # likewise, and blended into what is decoded
    FIRST = "first"  # likewise, but the prior knows only the first of them


SCOPES = tuple(Scope)
"""In the order of their numbers in a stream."""


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the payload.

    model_id, dictionary_id: short ids (16 hex digits) of the versions needed, the latter of kind `references` or a
    dictionary with stored latents; a stream without references has `references == 0` and the dictionary id
    `NO_DICTIONARY`.
    """

    model_id: str
    dictionary_id: str
    height: int
    width: int
    quality: float
    references: int
    index_bits: int
    scope: Scope = Scope.TILE
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        check_range("height", self.height, 1, MAX_SIDE)
        check_range("width", self.width, 1, MAX_SIDE)
        check_range("quality", self.quality, 1.0, 100.0)
        check_range("references", self.references, 0, MAX_REFERENCES)
        check_range("index bits", self.index_bits, 0, MAX_INDEX_BITS)
        if (self.references == 0) != (self.dictionary_id == NO_DICTIONARY):
            raise BitstreamError("a stream names a dictionary exactly if it has references")
        if self.references == 0 and self.index_bits:
            raise BitstreamError("a stream without references has no indices")
        if self.is_aligned and self.references == 0:
            raise BitstreamError("a stream has no references to align")
        if self.scope is Scope.IMAGE and (self.references == 0 or self.tiles == 1):
            raise BitstreamError("references of a whole image need references, and more than one tile")

    @property
    def is_aligned(self) -> bool:
        """Whether the references are whole photos, brought into line."""
        return self.scope in (Scope.ALIGNED, Scope.BLENDED, Scope.FIRST)

    @property
    def is_blended(self) -> bool:
        """Whether what is decoded is blended with them."""
        return self.scope in (Scope.BLENDED, Scope.FIRST)

    @property
    def known(self) -> int:
        """How many of the references the prior knows."""
        return min(self.references, 1) if self.scope is Scope.FIRST else self.references

    @property
    def tiles(self) -> int:
        """Number of 256×256 tiles."""
        return tile_count(self.height, self.width)

    @property
    def queries(self) -> int:
        """How many sets of references there are: one a tile, or one for all."""
        return self.tiles if self.scope is Scope.TILE else 1

    @property
    def index_bytes(self) -> int:
        """Bytes that all entry indices take."""
        return math.ceil(self.queries * self.references * self.index_bits / 8)
