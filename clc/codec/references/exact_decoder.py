"""Decodes what was coded alone to pixels that are the same on every machine: pictures that streams refer to."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.decoder import DecodedLatent, Decoder
from clc.codec.frozen_model import FrozenModel
from clc.codec.linear import LinearCoder
from clc.codec.linear.exact_transform import exactly_restored
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.size_limit import MAX_PIXELS
from clc.codec.stream_header import Header
from clc.errors import BitstreamError
from clc.model.exact.synthesis import ExactSynthesis
from clc.model.network import CompressionModel


class ExactDecoder:
    """Streams of one model → pictures, with dyadic arithmetic after the last symbol. On the CPU, wherever the model is.

    Raises ProfileError, when the first picture is decoded, for a model that cannot do that (see `ExactSynthesis`).
    """

    def __init__(self, model: CompressionModel, model_id: str, max_pixels: int = MAX_PIXELS) -> None:
        self.model_id = model_id
        self._model = model
        self._decoder = Decoder(FrozenModel(model, model_id), ReferenceLookup(model, None, None), max_pixels)
        self._linear = LinearCoder(model.latent_tables, exactly_restored)

    def decompress(self, data: bytes) -> NDArray[np.uint8]:
        """Decode a stream without references to uint8 [H, W, 3].

        Raises BitstreamError for a stream that is damaged or has references or a syntax, MissingArtifactError for one
        of another model.
        """
        stream = Bitstream.from_bytes(data)
        if stream.header.references:
            raise BitstreamError("a reference picture has references itself; only what is coded alone can be one")
        if stream.syntax is not None:
            raise BitstreamError("a reference picture has a syntax; only what is coded without can be one")
        return self._decoder.picture(stream, self._synthesised, self._linear)

    def _synthesised(self, latent: DecodedLatent, header: Header) -> NDArray[np.uint8]:
        size = header.height, header.width
        return self._synthesis(latent.decoded, latent.features, header.quality, size)[0]

    @cached_property
    def _synthesis(self) -> ExactSynthesis:
        return ExactSynthesis(self._model)
