"""Photos that refer to key photos: an encoder and a decoder for any set of these, of one model."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from clc.codec.decoder import Decoder
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.references.aligned_latents import AlignedLatents
from clc.codec.references.coded import can_be_coded, shared_pictures
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.key_photos import KeyLatents, KeyPhotos
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.picture_cache import PictureCache
from clc.codec.references.protocols import Aligner, NamedPhotos
from clc.codec.size_limit import MAX_PIXELS
from clc.errors import BitstreamError
from clc.model.network import CompressionModel
from clc.model.transforms.convolutional import ConvolutionalAnalysis

_OPEN_SETS = 16  # of key photos: their lookups and aligners


class KeyCodec:
    """Codes and decodes with one model, alone or with key photos, which are streams of the same model.

    aligner: makes what aligns a photo with key photos; without it there is only decoding with them.
    pictures, latents: where decoded key photos and what is made of them are kept; several codecs may share them.
    Not for use by several threads at once.
    """

    def __init__(
        self,
        model: CompressionModel,
        model_id: str,
        *,
        aligner: Callable[[NamedPhotos], Aligner] | None = None,
        pictures: PictureCache | None = None,
        latents: AlignedLatents | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.model_id = model_id
        self._model = model
        self._network = FrozenModel(model, model_id)
        self._exact = ExactDecoder(model, model_id, max_pixels)
        self._new_aligner = aligner
        self._pictures = shared_pictures() if pictures is None else pictures
        self._latents = latents
        self._max_pixels = max_pixels
        self._alone = ReferenceLookup(model, None, None)
        self._opened = lru_cache(_OPEN_SETS)(self._open)

    @property
    def takes_keys(self) -> bool:
        """Whether photos can refer to key photos: the prior alone is conditioned, and all of g_a and g_s is exact."""
        return self._model.config.takes_references and self._model.config.prior_only and can_be_coded(self._model)

    def encoder(self, keys: Sequence[bytes] = ()) -> Encoder:
        """For photos that may refer to the key photos in these streams.

        Raises BitstreamError for one that is damaged.
        """
        if not keys:
            return Encoder(self._network, self._alone, max_pixels=self._max_pixels)
        lookup, aligner = self._opened(tuple(keys))
        return Encoder(self._network, lookup, aligner=aligner, max_pixels=self._max_pixels)

    def decoder(self, keys: Sequence[bytes] = ()) -> Decoder:
        """For streams that refer to the key photos in these, in order. Raises BitstreamError for a damaged one."""
        lookup = self._opened(tuple(keys))[0] if keys else self._alone
        return Decoder(self._network, lookup, self._max_pixels)

    def _open(self, keys: tuple[bytes, ...]) -> tuple[ReferenceLookup, Aligner | None]:
        if not self.takes_keys:
            raise BitstreamError(f"model {self.model_id} takes no key photos; the stream is damaged")
        if self._latents is None:
            assert isinstance(self._model.g_a, ConvolutionalAnalysis), "takes_keys"
            self._latents = AlignedLatents(self._model.g_a)
        photos = KeyPhotos(keys, self._exact, self._pictures)
        latents = KeyLatents(photos, keys, self._model, self.model_id)
        lookup = ReferenceLookup(self._model, latents, photos, self._latents)
        return lookup, None if self._new_aligner is None else self._new_aligner(photos)
