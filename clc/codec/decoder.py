"""`.clc` bytes to images.

The decoder uses the bitstream, the model and the dictionary's reference latents, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.bitstream import OLDER_VERSIONS, Bitstream
from clc.codec.checksum import latent_checksum
from clc.codec.entropy import flat_integers
from clc.codec.frozen_model import FrozenModel
from clc.codec.hyper_coder import HyperCoder
from clc.codec.latent_bands import ReadBands
from clc.codec.latent_coder import LATENT_LIMIT, LatentCoder
from clc.codec.linear import LinearCoder
from clc.codec.lossless import read_lossless
from clc.codec.references.blending import blended
from clc.codec.references.lookup import ReferenceLookup, stated_alignment
from clc.codec.references.protocols import UsedReferences, index_bits
from clc.codec.safety.block_errors import changed_pixels
from clc.codec.size_limit import MAX_PIXELS, check_declared
from clc.codec.stream_header import Header
from clc.errors import BitstreamError, MissingArtifactError, ProfileError
from clc.model.gain import Rate
from clc.model.priors.banded import decode_in_bands
from clc.model.priors.stages import Block
from clc.model.tiles import IMAGE_MULTIPLE, LATENT_STRIDE, padded_size
from clc.runtime.freed_memory import give_back_freed_memory

_HYPER_STRIDE = IMAGE_MULTIPLE


@dataclass(frozen=True)
class DecodedLatent:
    """What the symbols of a stream say.

    decoded: ŷ [1, C, h, w], in quantisation steps; features: those of ẑ, [1, F, h, w]. float64, or, of a large photo,
    float32, which holds them exactly. syntax: float64 [1, n], None without any.
    """

    decoded: Tensor
    features: Tensor
    references: UsedReferences
    syntax: Tensor | None = None


Synthesis = Callable[[DecodedLatent, Header], NDArray[np.uint8]]
"""What makes a picture of them."""


class Decoder:
    """Decodes the streams of one model and, optionally, one dictionary.

    lookup: what references mean. max_pixels: streams that declare larger images are refused before anything is
    allocated for them. What decoding takes grows with the tiles that an image touches, which reach beyond one that is
    narrower than a tile.
    """

    def __init__(self, network: FrozenModel, lookup: ReferenceLookup, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = max_pixels
        self._network = network
        self._lookup = lookup
        self._hyper_coder = HyperCoder(network.hyper_tables)

    @torch.inference_mode()
    def decompress(self, data: bytes, *, post: bool = False) -> NDArray[np.uint8]:
        """Decode a stream to uint8 [H, W, 3].

        post: run the model's post-processing over what the network shows; slower, and nearly always a better picture.
        Raises BitstreamError for a stream that is damaged, MissingArtifactError for one of another model or
        dictionary, ProfileError for post-processing with a model that has none.
        """
        stream = Bitstream.from_bytes(data)
        return self._processed(stream) if post else self.picture(stream, self._synthesised, self._network.linear)

    @torch.inference_mode()
    def picture(self, stream: Bitstream, synthesise: Synthesis, linear: LinearCoder) -> NDArray[np.uint8]:
        """`decompress`, with other arithmetic after the last symbol: what is used for the latent and for blocks."""
        header = stream.header
        self._check(header)
        if stream.picture is not None:
            return read_lossless(stream.picture, header.height, header.width)
        picture = None
        if stream.hyper is not None:
            picture = synthesise(self._decode_network(stream, stream.hyper, stream.latent or b""), header)
        if stream.blocks is None:
            assert picture is not None, "a stream has a section that an image comes from"
            return picture
        return linear.decode(stream.blocks, picture, (header.height, header.width), header.quality)

    def _synthesised(self, latent: DecodedLatent, header: Header, post: bool = False) -> NDArray[np.uint8]:
        picture = self._network.synthesise(
            latent.decoded,
            latent.features,
            header.quality,
            latent.references,
            (header.height, header.width),
            latent.syntax,
            post,
        )
        if not header.is_blended:
            return picture
        assert latent.references.seen is not None, "they are aligned"
        return blended(picture, latent.references.seen, header.quality)

    def _processed(self, stream: Bitstream) -> NDArray[np.uint8]:
        """The picture with post-processing, but for blocks that are coded by themselves: they are as they should be."""
        syntax = self._network.model.syntax
        if syntax is None or syntax.post is None:
            raise ProfileError(f"model {self._network.model_id} has no post-processing; decode the stream without")
        if stream.blocks is None:
            return self.picture(stream, partial(self._synthesised, post=True), self._network.linear)
        without: list[NDArray[np.uint8]] = []
        processed: list[NDArray[np.uint8]] = []

        def shown(latent: DecodedLatent, header: Header) -> NDArray[np.uint8]:
            without.append(self._synthesised(latent, header))
            processed.append(self._synthesised(latent, header, post=True))
            return without[0]

        picture = self.picture(stream, shown, self._network.linear)
        if not processed:
            return picture  # the network has no part in it
        return np.where(changed_pixels(without[0], picture)[..., None], picture, processed[0])

    def _check(self, header: Header) -> None:
        """Refuse what this decoder cannot decode."""
        check_declared(header, self.max_pixels)
        own = self._network.model_id
        if header.model_id != own:
            raise MissingArtifactError(f"stream was coded with model {header.model_id}, this codec has {own}")
        if header.references == 0:
            return
        number = self._network.model.config.references
        if header.references != number and not header.is_aligned:
            raise BitstreamError(f"stream has {header.references} references a tile, its model uses {number}")
        latents = self._lookup.latents
        if latents is None or header.dictionary_id != latents.dictionary_id:
            raise MissingArtifactError(
                f"stream needs references {header.dictionary_id}, which this codec does not have"
            )
        if header.index_bits != index_bits(len(latents)):
            raise BitstreamError(f"{header.index_bits} index bits do not fit a dictionary of {len(latents)} entries")

    def _decode_network(self, stream: Bitstream, hyper: bytes, latent: bytes) -> DecodedLatent:
        header, network = stream.header, self._network
        height, width = padded_size(header.height) // _HYPER_STRIDE, padded_size(header.width) // _HYPER_STRIDE
        # Before anything of that size is allocated: a few bytes could declare millions of pixels.
        self._hyper_coder.check_length(hyper, height * width)
        used = self._used(stream)
        shape = (1, network.model.config.prior.hyper_channels, height, width)
        z_hat = self._hyper_coder.decode(hyper, shape).to(network.device)
        rate = network.rate(header.quality)
        features = network.features(z_hat, rate)
        syntax = self._syntax(stream.syntax, features)
        stack = network.latent_tables.open(latent)
        coder = network.latent_coder(omits=header.format_version in OLDER_VERSIONS)
        decoded = self._decode_latent(coder, stack, features, rate, used.latents)
        if latent_checksum(decoded, used, syntax) != stream.latent_checksum:
            raise BitstreamError(
                "the decoded latent or the reference latents differ from the encoder's: "
                "stream, model or latents are damaged"
            )
        network.latent_tables.check_end(stack)
        return DecodedLatent(decoded, features, used, syntax)

    def _syntax(self, section: bytes | None, features: Tensor) -> Tensor | None:
        if section is None:
            return None
        model, coder = self._network.model, self._network.syntax
        if model.syntax is None or coder is None:
            raise BitstreamError(f"the stream has a syntax, and model {self._network.model_id} takes none")
        return coder.decode(section, *model.syntax.prior(features))

    def _used(self, stream: Bitstream) -> UsedReferences:
        height, width = stream.header.height, stream.header.width
        alignment = stated_alignment(stream)
        if alignment is None:
            return self._lookup.entries(stream.entries, height, width)
        return self._lookup.aligned(alignment, height, width, stream.header.known)

    def _decode_latent(
        self,
        coder: LatentCoder,
        stack: constriction.stream.stack.AnsCoder,
        features: Tensor,
        rate: Rate,
        references: Tensor | None,
    ) -> Tensor:
        if self._network.in_bands(*(LATENT_STRIDE * side for side in features.shape[2:])):
            known = self._network.model.prior_references(references)
            decoded = decode_in_bands(self._network.model.prior, features, rate, ReadBands(coder, stack), known)
            give_back_freed_memory()
            return decoded

        def read(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            symbols = coder.pop(stack, flat_integers(level))
            decoded = torch.from_numpy(symbols.reshape(tuple(mean.shape))).to(mean) + mean
            if decoded.abs().max() > LATENT_LIMIT + 0.5:  # the next slice would not be computed exactly
                raise BitstreamError("entropy-coded stream is damaged: a value of the latent is out of range")
            return decoded

        return self._network.model.decode(features, rate, read, references)
