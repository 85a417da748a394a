"""An encoder and a decoder of one model: images to `.clc` bytes and back."""

import numpy as np
from numpy.typing import NDArray

from clc.codec.decoder import Decoder
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.protocols import Aligner, EntryLatents, ReferencePhotos, Retriever
from clc.codec.size_limit import MAX_PIXELS
from clc.model.network import CompressionModel


class Codec:
    """A frozen model with, optionally, the references of one dictionary.

    latents: needed to decode streams that have references, and to write such streams.
    photos: needed as well to decode streams whose references are aligned.
    retriever: needed to write streams with references; aligner: to align some. Decoding never searches.
    max_pixels: larger images are refused, in either direction.
    Attributes `encoder` and `decoder`: the two halves; `lookup`: what references mean to both.
    """

    def __init__(
        self,
        model: CompressionModel,
        model_id: str,
        latents: EntryLatents | None = None,
        retriever: Retriever | None = None,
        photos: ReferencePhotos | None = None,
        max_pixels: int = MAX_PIXELS,
        aligner: Aligner | None = None,
    ) -> None:
        network = FrozenModel(model, model_id)
        if latents is not None and latents.model_id != model_id:
            raise ValueError(f"reference latents belong to model {latents.model_id}, not {model_id}")
        self.model = model
        self.model_id = model_id
        self.latents = latents
        self.retriever = retriever
        self.lookup = ReferenceLookup(model, latents, photos)
        self.encoder = Encoder(network, self.lookup, retriever, aligner, max_pixels)
        self.decoder = Decoder(network, self.lookup, max_pixels)

    def compress(
        self,
        image: NDArray[np.uint8],
        *,
        quality: float = 50.0,
        references: bool = True,
        always: bool = False,
        effort: int = 0,
    ) -> bytes:
        """`Encoder.compress`: uint8 [H, W, 3] → a stream."""
        return self.encoder.compress(image, quality=quality, references=references, always=always, effort=effort)

    def decompress(self, data: bytes, *, post: bool = False) -> NDArray[np.uint8]:
        """`Decoder.decompress`: a stream → uint8 [H, W, 3]."""
        return self.decoder.decompress(data, post=post)
