"""Images to `.clc` bytes and back.

The decoder uses the bitstream, the model and the dictionary's reference latents, and nothing else.
"""

import math
import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.codec.bitstream import MAX_SIDE, NO_DICTIONARY, OLDER_VERSIONS, Bitstream, Header, Scope, tile_count
from clc.codec.decisions.reference_choice import CANDIDATES_PER_REFERENCE, choose
from clc.codec.entropy import TableCoder
from clc.codec.latent_coder import LatentCoder
from clc.codec.linear import LinearCoder
from clc.codec.lossless import read_lossless
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.protocols import (
    NO_REFERENCES,
    Aligner,
    Alignment,
    ReferenceLatents,
    ReferencePhotos,
    Retriever,
    UsedReferences,
    index_bits,
)
from clc.codec.safety.net import Candidate, SafetyNet
from clc.errors import BitstreamError, ImageError, MissingArtifactError, ProfileError
from clc.model.exact.convolution import LARGEST_INPUT
from clc.model.gain import QUALITY_MAX, QUALITY_MIN, QUALITY_STEPS, Rate, lagrangian
from clc.model.network import CompressionModel
from clc.model.priors.prior import MEAN_EXPONENT
from clc.model.priors.stages import Block
from clc.model.tiles import IMAGE_MULTIPLE, padded_size, to_padded_tensor
from clc.model.transforms.convolutional import LatentResidual, for_inference

_HYPER_STRIDE = IMAGE_MULTIPLE
_REMEMBERED_RATES = 32
_ANCHORS = tuple(float(quality) for quality in range(90, 0, -10))
_LATENT_LIMIT = 2000.0  # far beyond what g_a gives; below LARGEST_INPUT of the exact layers
_TYPICAL_QUALITY = 50.0  # that references are chosen for
MAX_PIXELS = 2**26
"""Default limit of the images that a codec accepts, in either direction."""


@dataclass(frozen=True)
class Analysis:
    """An image as it is before a quality is chosen: what `Codec.code` starts from, however often.

    latent: y_f [1, C, h, w], unscaled; choices: references to code it with, one of them or none.
    net: what catches the blocks that come out badly. anchors: the image at some qualities, once they were needed.
    """

    height: int
    width: int
    latent: Tensor
    choices: tuple[UsedReferences, ...]
    net: SafetyNet
    anchors: "dict[float, tuple[CodedImage, Candidate]]" = field(default_factory=dict)


@dataclass(frozen=True)
class CodedImage:
    """An image at one quality: its stream, and what `Codec.reconstruct` makes the decoder's picture from.

    scaled: y_f in quantisation steps; decoded: ŷ, at most half a step and what rounding adds from it. float64
    [1, C, h, w] both. features: hyper features of ẑ. picture: what a decoder shows, uint8 [H, W, 3], where it is known.
    """

    stream: Bitstream
    scaled: Tensor
    decoded: Tensor
    features: Tensor
    analysis: Analysis
    references: UsedReferences
    picture: NDArray[np.uint8] | None = None

    @property
    def quality(self) -> float:
        """As the header stores it."""
        return self.stream.header.quality

    @cached_property
    def data(self) -> bytes:
        """The stream as bytes."""
        return self.stream.to_bytes()


class Codec:
    """A frozen model with, optionally, the references of one dictionary.

    latents: needed to decode streams that have references, and to write such streams.
    photos: needed as well to decode streams whose references are aligned.
    retriever: needed to write streams with references; aligner: to align some. Decoding never searches.
    max_pixels: larger images are refused, when decoding before anything is allocated for them. What decoding takes
    grows with the tiles that an image touches, which reach beyond one that is narrower than a tile.
    Attribute `lookup`: what references mean, for `code`.
    """

    def __init__(
        self,
        model: CompressionModel,
        model_id: str,
        latents: ReferenceLatents | None = None,
        retriever: Retriever | None = None,
        photos: ReferencePhotos | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not model.frozen:
            raise ValueError("a codec needs a frozen model; call model.freeze() first")
        if latents is not None and latents.model_id != model_id:
            raise ValueError(f"reference latents belong to model {latents.model_id}, not {model_id}")
        model.use_channels_last()
        self.model = model
        self.model_id = model_id
        self.latents = latents
        self.retriever = retriever
        self.aligner: Aligner | None = None
        self.lookup = ReferenceLookup(model, latents, photos)
        self.max_pixels = max_pixels
        self._hyper_coder = TableCoder(model.hyper_tables)
        self._latent_coder = TableCoder(model.latent_tables)
        self._linear = LinearCoder(model.latent_tables)
        # A decimal exponential a channel takes milliseconds, and most files of a collection have one quality.
        self._rate = lru_cache(_REMEMBERED_RATES)(lambda quality, device: model.gain.exact_rate(quality))

    @cached_property
    def _g_a(self) -> nn.Module:
        return for_inference(self.model.g_a)  # once the model is where it stays

    @cached_property
    def _g_s(self) -> nn.Module:
        return for_inference(self.model.g_s)

    @cached_property
    def _residual(self) -> LatentResidual:
        return for_inference(self.model.residual)

    @property
    def _device(self) -> torch.device:
        """Where the model is; symbols and bytes are always on the CPU."""
        return self.model.device

    def compress(
        self, image: NDArray[np.uint8], *, quality: float = 50.0, references: bool = True, always: bool = False
    ) -> bytes:
        """Code uint8 [H, W, 3], 1 ≤ H, W ≤ 65,535; `quality` runs from 1 to 100.

        references: use them where they pay; False writes a stream that needs no dictionary.
        always: use them, and the network, even where they do not, to measure them.
        Raises ProfileError for a quality out of range, and what `analyse` raises.
        """
        quality = stored_quality(quality)
        analysis = self.analyse(image, references=references)
        return self.code_cheaper(analysis, quality, always=always).data

    def decompress(self, data: bytes) -> NDArray[np.uint8]:
        """Decode a stream to uint8 [H, W, 3].

        Raises BitstreamError for a stream that is damaged, MissingArtifactError for one of another model or
        dictionary.
        """
        return self._decode(Bitstream.from_bytes(data))

    def encode(self, image: NDArray[np.uint8], *, quality: float, references: bool) -> tuple[bytes, NDArray[np.int64]]:
        """`compress`, with the dictionary entries [Q, M] that were used. Raises what `compress` raises."""
        quality = stored_quality(quality)
        coded = self.code_cheaper(self.analyse(image, references=references), quality)
        return coded.data, coded.stream.entries

    @torch.inference_mode()
    def analyse(self, image: NDArray[np.uint8], *, references: bool) -> Analysis:
        """The part of `encode` that does not depend on the quality: g_a, retrieval, conditioning.

        Raises ImageError for an image that this codec does not accept, MissingArtifactError without a dictionary to
        retrieve from, and what the retriever raises.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        height, width = image.shape[:2]
        if max(height, width) > MAX_SIDE or height * width > self.max_pixels:
            raise ImageError(
                f"image is {width}×{height}; this codec accepts at most {MAX_SIDE:,} pixels a side "
                f"and {self.max_pixels:,} in all (max_pixels)"
            )
        latent = self._g_a(to_padded_tensor(image[None]).to(self._device))
        choices = self._choices(image, latent) if references and self.model.config.takes_references else ()
        if self.model.config.learns_references:
            choices = (self.lookup.entries(NO_REFERENCES.entries, height, width),)
        conditioned = self._condition(latent, choices[0].latents) if choices else latent
        return Analysis(height, width, conditioned, choices, SafetyNet(image, self._linear))

    @torch.inference_mode()
    def code_cheaper(self, analysis: Analysis, quality: float, *, always: bool = False) -> CodedImage:
        """`code`, with the references or without any, whichever costs least in R + λ·D at this quality; blocks that
        come out badly are coded otherwise.

        A photo that the dictionary has nothing like would pay for indices and for matches that mislead. Where
        references act on the latent itself, D could not be told before g_s, and they are kept.
        always: keep some, and the network, in any case. Raises what `code` raises.
        """
        coded, safe = self._caught(analysis, quality, always)
        if safe.doubtful and not always:
            # Where ways of coding change, more quality might give a worse picture. Never worse than at an anchor below.
            for anchor in (each for each in _ANCHORS if each < quality):
                if anchor not in analysis.anchors:
                    analysis.anchors[anchor] = self._caught(analysis, anchor, always)
                other, candidate = analysis.anchors[anchor]
                if analysis.net.error(candidate) < analysis.net.error(safe):
                    coded, safe = other, candidate
        return replace(coded, stream=safe.stream, picture=safe.picture)

    def _caught(self, analysis: Analysis, quality: float, always: bool) -> tuple[CodedImage, Candidate]:
        choices = analysis.choices or (NO_REFERENCES,)
        if not always and self.model.config.prior_only:
            choices = (*analysis.choices, NO_REFERENCES)
        coded = [self.code(analysis, quality, choice) for choice in choices]
        cheapest = coded[0] if len(coded) == 1 else min(coded, key=self._cost)
        return cheapest, analysis.net.caught(Candidate(cheapest.stream, self.reconstruct(cheapest)), keep=always)

    def _cost(self, coded: CodedImage) -> float:
        """R + λ·255²·D, in bits. g_s is nearly orthonormal, so that errors of the latent are those of the pixels."""
        gain = self.model.gain
        error = coded.decoded * gain.inverse_gain(coded.quality) - coded.analysis.latent
        squared = float(error.square().sum()) / 3  # of the mean of R, G and B
        return 8 * len(coded.data) + lagrangian(coded.quality) * 255.0**2 * squared

    @torch.inference_mode()
    def code(self, analysis: Analysis, quality: float, references: UsedReferences) -> CodedImage:
        """The part of `encode` that depends on the quality: gain, prior, entropy coding.

        Raises ProfileError for a quality out of range.
        """
        quality = stored_quality(quality)
        scaled = (analysis.latent * self.model.gain.gain(quality)).clamp(-_LATENT_LIMIT, _LATENT_LIMIT)
        scaled = scaled.contiguous()  # as the decoder's: the last digit of g_s depends on the order in memory
        exact = scaled.double()
        rate = self._rate(quality, self._device)
        known = references.latents
        hyper, z_hat = self._encode_hyper(self.model.hyper_latent(scaled, quality, known))
        features = self.model.prior.features(z_hat, rate)
        latent, decoded = self._encode_latent(exact, features, rate, known)
        header = self._header(analysis, quality, references)
        checksum = self._checksum(decoded, references)
        stream = Bitstream(header, references.entries, hyper, latent, checksum, references.corners)
        return CodedImage(stream, exact, decoded, features, analysis, references)

    def _header(self, analysis: Analysis, quality: float, references: UsedReferences) -> Header:
        queries, number = references.entries.shape
        transmitted = self.latents if number else None
        scope = Scope.IMAGE if queries == 1 < tile_count(analysis.height, analysis.width) else Scope.TILE
        return Header(
            model_id=self.model_id,
            dictionary_id=NO_DICTIONARY if transmitted is None else transmitted.dictionary_id,
            height=analysis.height,
            width=analysis.width,
            quality=quality,
            references=number,
            index_bits=0 if transmitted is None else index_bits(len(transmitted)),
            scope=scope if references.corners is None else Scope.ALIGNED,
        )

    @torch.inference_mode()
    def reconstruct(self, coded: CodedImage) -> NDArray[np.uint8]:
        """What `decompress` gives for `coded.data` on this machine, without reading it: uint8 [H, W, 3]."""
        if coded.picture is not None:
            return coded.picture
        analysis = coded.analysis
        image = self._synthesise(coded.decoded, coded.features, coded.quality, coded.references.latents)
        return _to_pixels(image, analysis.height, analysis.width)

    def _choices(self, image: NDArray[np.uint8], latent: Tensor) -> tuple[UsedReferences, ...]:
        height, width = image.shape[:2]
        if self.latents is None or self.retriever is None:
            raise MissingArtifactError(
                "coding with references needs a dictionary and its reference latents; "
                "name one with --dictionary, or code without references"
            )
        number = self.model.config.references
        if not self.model.config.prior_only:
            return (self.lookup.entries(self.retriever.retrieve(image, number), height, width),)
        candidates = self.retriever.retrieve(image, min(CANDIDATES_PER_REFERENCE * number, len(self.latents)))
        gain = self.model.gain.gain(_TYPICAL_QUALITY)
        chosen = choose(latent, candidates, self.latents, gain, number)
        choices = (self.lookup.entries(chosen, height, width),)
        if self.aligner is None or not self.lookup.aligns:
            return choices
        alignment = self.aligner.align(image, candidates, number)
        return choices if alignment is None else (*choices, self.lookup.aligned(alignment, height, width))

    def _encode_hyper(self, z: Tensor) -> tuple[bytes, Tensor]:
        z_hat = torch.floor(z.double() + 0.5).clamp(-LARGEST_INPUT, LARGEST_INPUT)
        stack = self._hyper_coder.empty()
        self._hyper_coder.push(stack, _flat(z_hat), _hyper_channels(z_hat.shape))
        return self._hyper_coder.close(stack), z_hat

    def _encode_latent(
        self, scaled: Tensor, features: Tensor, rate: Rate, references: Tensor | None
    ) -> tuple[bytes, Tensor]:
        blocks: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []

        def quantise(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            symbols = torch.floor(block.of(scaled) - mean + 0.5)
            blocks.append((_flat(symbols), _flat(level)))
            return symbols + mean

        decoded = self.model.decode(features, rate, quantise, references)
        coder = LatentCoder(self._latent_coder)
        stack = self._latent_coder.empty()
        for symbols, level in reversed(blocks):  # a stack: the slice decoded first is pushed last
            coder.push(stack, symbols, level)
        return self._latent_coder.close(stack), decoded

    @torch.inference_mode()
    def _decode(self, stream: Bitstream) -> NDArray[np.uint8]:
        header = stream.header
        self._check(header)
        if stream.picture is not None:
            return read_lossless(stream.picture, header.height, header.width)
        picture = None if stream.hyper is None else self._decode_network(stream, stream.hyper, stream.latent or b"")
        if stream.blocks is None:
            assert picture is not None, "a stream has a section that an image comes from"
            return picture
        return self._linear.decode(stream.blocks, picture, (header.height, header.width), header.quality)

    def _decode_network(self, stream: Bitstream, hyper: bytes, latent: bytes) -> NDArray[np.uint8]:
        header = stream.header
        height, width = padded_size(header.height) // _HYPER_STRIDE, padded_size(header.width) // _HYPER_STRIDE
        # Before anything of that size is allocated: a few bytes could declare millions of pixels.
        self._hyper_coder.check_length(hyper, height * width)
        used = self._used(stream)
        z_hat = self._decode_hyper(hyper, (1, self.model.config.prior.hyper_channels, height, width))
        rate = self._rate(header.quality, self._device)
        features = self.model.prior.features(z_hat, rate)
        stack = self._latent_coder.open(latent)
        coder = LatentCoder(self._latent_coder, omits=header.format_version in OLDER_VERSIONS)
        decoded = self._decode_latent(coder, stack, features, rate, used.latents)
        if self._checksum(decoded, used) != stream.latent_checksum:
            raise BitstreamError(
                "the decoded latent or the reference latents differ from the encoder's: "
                "stream, model or latents are damaged"
            )
        self._latent_coder.check_end(stack)
        image = self._synthesise(decoded, features, header.quality, used.latents)
        return _to_pixels(image, header.height, header.width)

    def _used(self, stream: Bitstream) -> UsedReferences:
        height, width = stream.header.height, stream.header.width
        if stream.corners is None:
            return self.lookup.entries(stream.entries, height, width)
        return self.lookup.aligned(Alignment(stream.entries[0], stream.corners), height, width)

    def _synthesise(self, decoded: Tensor, features: Tensor, quality: float, references: Tensor | None) -> Tensor:
        """Everything after the last symbol: the image [1, 3, H', W'], padded, not clamped."""
        # In one layout, whoever made them: which kernel runs, and with it how it rounds, depends on that.
        decoded, features = (each.to(torch.float32, memory_format=torch.channels_last) for each in (decoded, features))
        refined = self.model.refine(decoded, features, quality, self._residual)
        image: Tensor = self._g_s(self._condition(refined, references))
        return image

    def _decode_hyper(self, data: bytes, shape: tuple[int, ...]) -> Tensor:
        stack = self._hyper_coder.open(data)
        symbols = self._hyper_coder.pop(stack, _hyper_channels(shape))
        self._hyper_coder.check_end(stack)
        if np.abs(symbols).max() > LARGEST_INPUT:
            raise BitstreamError("entropy-coded stream is damaged: a value of z is out of range")
        return torch.from_numpy(symbols.reshape(shape)).double().to(self._device)

    def _decode_latent(
        self,
        coder: LatentCoder,
        stack: constriction.stream.stack.AnsCoder,
        features: Tensor,
        rate: Rate,
        references: Tensor | None,
    ) -> Tensor:
        def read(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            symbols = coder.pop(stack, _flat(level))
            decoded = torch.from_numpy(symbols.reshape(tuple(mean.shape))).to(mean) + mean
            if decoded.abs().max() > _LATENT_LIMIT + 0.5:  # the next slice would not be computed exactly
                raise BitstreamError("entropy-coded stream is damaged: a value of the latent is out of range")
            return decoded

        return self.model.decode(features, rate, read, references)

    def _check(self, header: Header) -> None:
        """Refuse what this codec cannot decode."""
        if header.height * header.width > self.max_pixels:
            raise BitstreamError(
                f"stream declares {header.width}×{header.height} pixels; "
                f"this codec accepts {self.max_pixels:,} (max_pixels)"
            )
        if header.model_id != self.model_id:
            raise MissingArtifactError(f"stream was coded with model {header.model_id}, this codec has {self.model_id}")
        if header.references == 0:
            return
        most = self.model.config.references
        if header.references > most or (header.references < most and header.scope is not Scope.ALIGNED):
            raise BitstreamError(f"stream has {header.references} references a tile, its model uses {most}")
        if self.latents is None or header.dictionary_id != self.latents.dictionary_id:
            raise MissingArtifactError(
                f"stream needs dictionary {header.dictionary_id}, which this codec does not have"
            )
        if header.index_bits != index_bits(len(self.latents)):
            raise BitstreamError(
                f"{header.index_bits} index bits do not fit a dictionary of {len(self.latents)} entries"
            )

    def _checksum(self, decoded: Tensor, references: UsedReferences) -> int:
        """CRC-32 of the decoded latent, in multiples of 2^-MEAN_EXPONENT as little-endian 32-bit integers in memory
        order, and of the int8 reference latents [Q or T, M, C, 16, 16] that the picture is conditioned on.
        """
        checksum = zlib.crc32(_flat(decoded * 2.0**MEAN_EXPONENT).astype("<i4").tobytes())
        if references.values is None:
            return checksum
        return zlib.crc32(references.values.contiguous().numpy().data, checksum)

    def _condition(self, latent: Tensor, references: Tensor | None) -> Tensor:
        return self.model.condition(latent, references)


def stored_quality(quality: float) -> float:
    """The quality that a header stores for this one. Raises ProfileError outside 1 to 100."""
    if not QUALITY_MIN <= quality <= QUALITY_MAX:
        raise ProfileError(f"quality must lie between {QUALITY_MIN:g} and {QUALITY_MAX:g}, not {quality:g}")
    return round(quality * QUALITY_STEPS) / QUALITY_STEPS


def _to_pixels(image: Tensor, height: int, width: int) -> NDArray[np.uint8]:
    cropped = image[0, :, :height, :width].clamp(0.0, 1.0) * 255.0
    pixels: NDArray[np.uint8] = torch.round(cropped).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def _hyper_channels(shape: tuple[int, ...] | torch.Size) -> NDArray[np.int32]:
    """Table index, the channel, of each element of z in memory order."""
    return np.repeat(np.arange(shape[1], dtype=np.int32), math.prod(shape[2:]))


def _flat(tensor: Tensor) -> NDArray[np.int32]:
    flat: NDArray[np.int32] = tensor.flatten().to(torch.int32).cpu().numpy()
    return flat
