"""Photos that refer to key photos: an encoder and a decoder for any set of these, of one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.decisions.targets import Compressed, Target, compress_to
from clc.codec.decoder import Decoder
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.references.aligned_photos import AlignedPhotos
from clc.codec.references.coded import can_be_coded, shared_pictures
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.key_photos import KeyLatents, KeyPhotos
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.picture_cache import PictureCache
from clc.codec.references.protocols import Aligner, Alignment, NamedPhotos
from clc.codec.size_limit import MAX_PIXELS, check_image
from clc.errors import BitstreamError
from clc.model.limits import MAX_REFERENCES
from clc.model.network import CompressionModel

_OPEN_SETS = 16  # of key photos: their lookups and aligners


class KeyCodec:
    """Codes and decodes with one model, alone or with key photos, which are streams of the same model.

    aligner: makes what aligns a photo with key photos; without it there is only decoding with them.
    pictures: where decoded key photos are kept. Several threads may use it at once.
    """

    def __init__(
        self,
        model: CompressionModel,
        model_id: str,
        *,
        aligner: Callable[[NamedPhotos], Aligner] | None = None,
        pictures: PictureCache | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.model_id = model_id
        self._model = model
        self._network = FrozenModel(model, model_id)
        self._exact = ExactDecoder(model, model_id, max_pixels)
        self._new_aligner = aligner
        self._pictures = shared_pictures() if pictures is None else pictures
        self._max_pixels = max_pixels
        self._alone = ReferenceLookup(model, None, None)
        self._opened = lru_cache(_OPEN_SETS)(self._open)

    @property
    def takes_keys(self) -> bool:
        """Whether photos can refer to key photos: the prior alone is conditioned, and all of g_a and g_s is exact."""
        return (
            self._model.config.takes_references and self._model.config.references_optional and can_be_coded(self._model)
        )

    def compress_to(
        self, image: NDArray[np.uint8], target: Target, keys: Sequence[bytes] = (), *, effort: int = 0
    ) -> tuple[Compressed, tuple[int, ...]]:
        """Code uint8 [H, W, 3] to a target; the stream, and which of the key photos in `keys` it refers to, in order.

        None are used where none is like it, or where that does not pay. effort: as for `Encoder.compress`.
        Raises what `clc.codec.decisions.targets.compress_to` raises, and BitstreamError for a damaged key photo.
        """
        alignment = self._aligned(image, tuple(keys)) if keys else None
        if alignment is None:
            alone = self.encoder(syntax=False)  # others may refer to it
            return compress_to(alone, image, target, references=False, effort=effort), ()
        while True:
            used = tuple(alignment.entries.tolist())
            lookup, _ = self._opened(tuple(keys[place] for place in used))
            renumbered = replace(alignment, entries=np.arange(len(used)))
            encoder = Encoder(self._network, lookup, aligner=_Found(renumbered), max_pixels=self._max_pixels)
            coded = compress_to(encoder, image, target, effort=effort)
            number = Bitstream.from_bytes(coded.data).header.references
            if number in (0, len(used)):
                return coded, used[:number]
            alignment = alignment.first(number)  # a decoder shall not need the others

    def encoder(self, *, syntax: bool = True) -> Encoder:
        """For photos that are coded alone. syntax: as for `Encoder`."""
        return Encoder(self._network, self._alone, max_pixels=self._max_pixels, syntax=syntax)

    def _aligned(self, image: NDArray[np.uint8], keys: tuple[bytes, ...]) -> Alignment | None:
        check_image(image, self._max_pixels)
        aligner = self._opened(keys)[1]
        if aligner is None:
            raise ValueError("a codec without an aligner codes photos alone")
        return aligner.align(image, np.empty((0, 0), dtype=np.int64), MAX_REFERENCES)

    def decoder(self, keys: Sequence[bytes] = ()) -> Decoder:
        """For streams that refer to the key photos in these, in order. Raises BitstreamError for a damaged one."""
        lookup = self._opened(tuple(keys))[0] if keys else self._alone
        return Decoder(self._network, lookup, self._max_pixels)

    def _open(self, keys: tuple[bytes, ...]) -> tuple[ReferenceLookup, Aligner | None]:
        if not self.takes_keys:
            raise BitstreamError(f"model {self.model_id} takes no key photos; the stream is damaged")
        photos = KeyPhotos(keys, self._exact, self._pictures)
        latents = KeyLatents(photos, keys, self._model, self.model_id)
        lookup = ReferenceLookup(self._model, latents, photos, self._aligned_photos)
        return lookup, None if self._new_aligner is None else self._new_aligner(photos)

    @cached_property
    def _aligned_photos(self) -> AlignedPhotos:
        return AlignedPhotos(self._model)


@dataclass(frozen=True)
class _Found:
    """An aligner for the one image that was aligned before."""

    alignment: Alignment

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment:
        return self.alignment
