"""Key photos: pictures that were coded alone, in streams of their own, and that another stream refers to.

Such a stream names no version of a store: its dictionary id follows from the streams of its key photos, in order.
"""

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.bitstream import Bitstream
from clc.codec.references.exact_decoder import ExactDecoder
from clc.codec.references.picture_cache import PictureCache, key_of
from clc.codec.references.protocols import EntryLatents
from clc.errors import BitstreamError
from clc.model.conditioning.int8 import quantise
from clc.model.network import CompressionModel

_ID_DIGITS = 16


def keys_id(streams: Sequence[bytes]) -> str:
    """What a stream that refers to these calls its dictionary: 16 hex digits of the SHA-256 of their SHA-256."""
    digests = b"".join(hashlib.sha256(stream).digest() for stream in streams)
    return hashlib.sha256(digests).hexdigest()[:_ID_DIGITS]


class KeyPhotos:
    """The pictures of 1 to M streams; `clc.codec.references.protocols.NamedPhotos`. Entry k is the photo of stream k.

    decoder: of the model of all streams. pictures: where decoded ones are kept.
    Raises BitstreamError for a stream that is damaged.
    """

    def __init__(self, streams: Sequence[bytes], decoder: ExactDecoder, pictures: PictureCache) -> None:
        self._streams = tuple(streams)
        self._decoder = decoder
        self._pictures = pictures
        self._sizes = [
            (header.height, header.width) for header in (Bitstream.from_bytes(each).header for each in streams)
        ]

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def bytes(self) -> int:
        """Of the streams."""
        return sum(map(len, self._streams))

    def name(self, entry: int) -> int:
        """The entry: each is a photo."""
        return entry

    def shown(self) -> list[int]:
        """All of them."""
        return list(range(len(self)))

    def size(self, entry: int) -> tuple[int, int]:
        """Height and width."""
        return self._sizes[entry]

    def key(self, entry: int) -> str:
        """The SHA-256 (hex) of all that the pixels follow from."""
        return key_of(self._streams[entry], self._decoder.model_id)

    def photo(self, entry: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3], not to be written to.

        Raises BitstreamError for a stream that is damaged or has references itself, MissingArtifactError for one of
        another model.
        """
        return self._pictures.picture(self._streams[entry], self._decoder.model_id, self._decoder.decompress)


class KeyLatents(EntryLatents):
    """What stands for a dictionary where key photos do: whole photos, aligned; there are no patches to look up.

    Exponents are those that the photos of an image need, and no finer than the model's own steps.
    """

    at_hand: ClassVar[bool] = False

    def __init__(self, photos: KeyPhotos, streams: Sequence[bytes], model: CompressionModel, model_id: str) -> None:
        self._photos = photos
        self._finest = model.gain.finest_exponents.cpu()
        self.exponents = self._finest.numpy()
        self.dictionary_id = keys_id(streams)
        self.model_id = model_id

    def __len__(self) -> int:
        return len(self._photos)

    @property
    def bytes(self) -> int:
        """None beside the photos."""
        return 0

    def stored(self, entries: NDArray[np.int64]) -> Tensor:
        """Raises BitstreamError: streams refer to key photos as a whole."""
        raise BitstreamError("stream refers to tiles of key photos; it can only refer to whole ones")

    def quantised(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [M, C, h, w] → int8 values of the same shape, and the exponents int32 [C] that they need."""
        return quantise(latents, finest=self._finest)
