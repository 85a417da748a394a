"""What the codec knows of a dictionary: which entries to use for a tile, and their latents."""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.references.displacement_section import pack_displacements
from clc.codec.references.light import pack_lights
from clc.codec.references.view import View
from clc.model.conditioning.fusion import Features
from clc.model.conditioning.int8 import dequantise, quantise


class Retriever(Protocol):
    """Encoder side: finds dictionary entries for an image. `clc.dictionary.dictionary.Dictionary` is one."""

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        """Entries for an image uint8 [H, W, 3]: [T, number] for its T tiles, or [1, number] for all of it.

        The best come first; they are distinct within a row.
        """
        ...


class EntryLatents(ABC):
    """The values of K entries under one model: int8 [C, 16, 16] each, times a power of two per channel.

    They are integers so that every decoder starts from the same numbers. Attributes: exponents int32 [C];
    dictionary_id, what streams call the dictionary: the short id of its version of kind `references`, or its own for
    one with stored latents; model_id.
    """

    exponents: NDArray[np.int32]
    dictionary_id: str
    model_id: str
    at_hand: ClassVar[bool]
    """Whether it costs nothing to look at many of them."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def bytes(self) -> int:
        """What a decoder has to keep for them."""

    @abstractmethod
    def stored(self, entries: NDArray[np.int64]) -> Tensor:
        """int8 [T, M, C, 16, 16] of entries [T, M]."""

    def select(self, entries: NDArray[np.int64]) -> Tensor:
        """De-quantised latents float32 [T, M, C, 16, 16] of entries [T, M]."""
        return dequantised_tiles(self.stored(entries), torch.from_numpy(self.exponents))

    def quantised(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [M, C, h, w] of whole photos → int8 values of the same shape, and their exponents int32 [C]."""
        return quantise(latents, torch.from_numpy(self.exponents))


def dequantised_tiles(values: Tensor, exponents: Tensor) -> Tensor:
    """int8 [T, M, C, 16, 16] → float32 [T, M, C, 16, 16].

    In memory, what a tile's references have in one channel lies together, as matching reads it.
    """
    return dequantise(values.transpose(1, 2).contiguous().transpose(1, 2), exponents)


@dataclass(frozen=True)
class ReferenceLatents(EntryLatents):
    """Values that are stored, all of them: of versions of kind `latents`.

    values: int8 [K, C, 16, 16].
    """

    at_hand: ClassVar[bool] = True

    values: NDArray[np.int8]
    exponents: NDArray[np.int32]
    dictionary_id: str
    model_id: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bytes(self) -> int:
        """Of the values in memory."""
        return self.values.nbytes

    def stored(self, entries: NDArray[np.int64]) -> Tensor:
        """int8 [T, M, C, 16, 16] of entries [T, M]."""
        return torch.from_numpy(self.values[entries])


@dataclass(frozen=True)
class Alignment:
    """Photos that an image is coded with, each named by one of its entries, int64 [M], and how the image shows them."""

    entries: NDArray[np.int64]
    views: tuple[View, ...]

    @property
    def photos(self) -> list[tuple[int, View]]:
        """Each with its view."""
        return list(zip(self.entries.tolist(), self.views, strict=True))

    def first(self, number: int) -> "Alignment":
        """The first of them."""
        return Alignment(self.entries[:number], self.views[:number])

    @property
    def corners(self) -> NDArray[np.int32]:
        """int32 [M, 4, 2], as a stream says them."""
        return np.stack([view.corners for view in self.views])

    @property
    def displacements(self) -> bytes | None:
        """Likewise."""
        return pack_displacements(tuple(view.displacements for view in self.views))

    @property
    def light(self) -> bytes | None:
        """Likewise."""
        return pack_lights(tuple(view.light for view in self.views))

    @property
    def in_own_light(self) -> "Alignment | None":
        """The same, with the photos as they are; None if that makes no difference."""
        if all(view.light is None for view in self.views):
            return None
        return Alignment(self.entries, tuple(replace(view, light=None) for view in self.views))


class ReferencePhotos(Protocol):
    """What a decoder needs beside `EntryLatents` for aligned references."""

    @property
    def bytes(self) -> int:
        """What they take beside the latents."""
        ...

    def key(self, entry: int) -> Hashable:
        """Equal for entries of one photo, and for those only, whatever photos there are in the process."""
        ...

    def photo(self, entry: int) -> NDArray[np.uint8]:
        """The photo uint8 [H, W, 3] that an entry was cut from, as far as the dictionary shows it."""
        ...


class NamedPhotos(ReferencePhotos, Protocol):
    """Photos that an encoder can choose among."""

    def name(self, entry: int) -> int:
        """The first of the entries that were cut from the same photo."""
        ...

    def shown(self) -> list[int]:
        """The names of the photos that are worth aligning."""
        ...

    def size(self, entry: int) -> tuple[int, int]:
        """Height and width of the photo that an entry was cut from."""
        ...


class Aligner(Protocol):
    """Encoder side: finds photos that can be brought into line with an image (`clc.dictionary.retrieval.align`)."""

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment | None:
        """At most `number` photos for an image uint8 [H, W, 3]; None if there are none like it.

        candidates: entries [Q, N] that a `Retriever` found for it.
        """
        ...


@dataclass(frozen=True)
class UsedReferences:
    """What an image is coded with.

    entries: int64 [Q, M], and, if they are aligned, `alignment`: what a stream says.
    values: int8 [Q or T, N, C, 16, 16]: what that means, for the checksum; None if nothing is transmitted.
    latents: float32 [T, N, C, 16, 16]: the same for the T tiles, or what the model learned; None without references.
    Of aligned ones, these are the first N that the prior knows, of others all.
    features: of aligned photos, for a model that fuses. seen: what the image shows of those photos, M of uint8
    [H, W, 3].
    """

    entries: NDArray[np.int64]
    values: Tensor | None = None
    latents: Tensor | None = None
    alignment: Alignment | None = None
    features: Features | None = None
    seen: tuple[NDArray[np.uint8], ...] | None = None

    def first(self, number: int) -> "UsedReferences":
        """The same latent with the first of its aligned photos, among them those that the prior knows."""
        assert self.alignment is not None, "others are known to the prior"
        assert self.seen is not None, "they are aligned"
        entries, alignment = self.entries[:, :number], self.alignment.first(number)
        return replace(self, entries=entries, alignment=alignment, seen=self.seen[:number])


NO_REFERENCES = UsedReferences(np.empty((0, 0), dtype=np.int64))


def index_bits(entries: int) -> int:
    """Bits of one transmitted entry index: ⌈log2 K⌉."""
    return max(0, math.ceil(math.log2(entries)))
