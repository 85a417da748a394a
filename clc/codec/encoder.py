"""Images to `.clc` bytes: analysis, the choice of references, entropy coding, and a look at what comes out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.bitstream import Bitstream
from clc.codec.checksum import latent_checksum
from clc.codec.coded_image import Analysis, Anchor, CodedImage, CodedLatent
from clc.codec.decisions.effort import EVERYTHING, Refinement, Searched, check_effort
from clc.codec.decisions.reference_choice import CANDIDATES_PER_REFERENCE, choose
from clc.codec.decisions.rounding import Aim, symbols_near
from clc.codec.decoder import Decoder
from clc.codec.entropy import flat_integers
from clc.codec.frozen_model import FrozenModel
from clc.codec.hyper_coder import HyperCoder
from clc.codec.latent_bands import WrittenBands
from clc.codec.references.blending import blended
from clc.codec.references.lookup import ReferenceLookup
from clc.codec.references.protocols import NO_REFERENCES, Aligner, Alignment, Retriever, UsedReferences, index_bits
from clc.codec.safety.net import Candidate, SafetyNet
from clc.codec.scaled_latent import ScaledLatent
from clc.codec.size_limit import MAX_PIXELS, check_image
from clc.codec.stored_quality import stored_quality
from clc.codec.stream_header import NO_DICTIONARY, Header, Scope, tile_count
from clc.errors import MissingArtifactError
from clc.model.gain import Rate
from clc.model.limits import MAX_REFERENCES
from clc.model.priors.banded import decode_in_bands
from clc.model.priors.stages import Block
from clc.model.tiles import LATENT_STRIDE, padded_size

_ANCHORS = (90.0, 70.0, 50.0, 30.0, 10.0)
_CANDIDATES_TO_ANALYSE = 2  # for each reference, where each candidate takes a tenth of a second or more to look at
LATENT_KEPT = 2**25
"""Pixels of a photo whose latent is kept; that of a larger one is made anew for each coding, in ŷ's place."""
_TYPICAL_QUALITY = 50.0  # references are chosen for it
_KNOWN = 1  # of aligned photos: more mislead the prior more often than they help it, and each takes long to analyse
_FEW = 2  # photos that a picture is blended with where more do not pay


class Encoder:
    """Codes images with one model and, optionally, the references of one dictionary.

    lookup: what references mean. retriever, aligner: either writes streams with references: entries that are found,
    photos that are brought into line. Without a retriever the aligner looks at all photos.
    max_pixels: larger images are refused.
    syntax: of a model that has one, write it where it pays; False for what others shall refer to.
    searched: what effort may change.
    """

    def __init__(
        self,
        network: FrozenModel,
        lookup: ReferenceLookup,
        retriever: Retriever | None = None,
        aligner: Aligner | None = None,
        max_pixels: int = MAX_PIXELS,
        syntax: bool = True,
        searched: Searched = EVERYTHING,
    ) -> None:
        self.max_pixels = max_pixels
        self._network = network
        self._lookup = lookup
        self._retriever = retriever
        self._aligner = aligner
        self._writes_syntax = syntax and network.model.syntax is not None
        self._hyper_coder = HyperCoder(network.hyper_tables)
        self._config = network.model.config
        self._refinement = Refinement(network.model, searched)

    def compress(
        self,
        image: NDArray[np.uint8],
        *,
        quality: float = 50.0,
        references: bool = True,
        always: bool = False,
        effort: int = 0,
    ) -> bytes:
        """Code uint8 [H, W, 3], 1 ≤ H, W ≤ 65,535; `quality` runs from 1 to 100.

        references: use them where they pay; False writes a stream that needs no dictionary.
        always: use them, the network and its syntax even where they do not, to measure them.
        effort: 0 to 9, how long to search for a smaller file or a better picture; the decoder does not know it.
        Raises ProfileError for a quality or an effort out of range, and what `analyse` raises.
        """
        quality, effort = stored_quality(quality), check_effort(effort)
        return self.code(self.analyse(image, references=references), quality, always=always, effort=effort).data

    @torch.inference_mode()
    def analyse(self, image: NDArray[np.uint8], *, references: bool) -> Analysis:
        """The part of `compress` that does not depend on the quality: g_a, retrieval, conditioning.

        Raises ImageError for an image that this codec does not accept, MissingArtifactError without a dictionary to
        retrieve from, and what the retriever raises.
        """
        check_image(image, self.max_pixels)
        height, width = image.shape[:2]
        net, takes = SafetyNet(image, self._network.linear), references and self._config.takes_references
        keeps = height * width <= LATENT_KEPT or not self._network.in_bands(padded_size(height), padded_size(width))
        if not (keeps or takes or self._config.learns_references):
            return Analysis(image, None, (), (), net)
        latent = self._network.analyse(image)
        choices = self._choices(image, latent) if takes else ()
        if self._config.learns_references:
            choices = (self._lookup.entries(NO_REFERENCES.entries, height, width),)
        conditioned = self._network.condition(latent, choices[0].latents) if choices else latent
        fused = tuple(
            None if each.features is None else self._network.analyse(image, each.features) for each in choices
        )
        return Analysis(image, conditioned if keeps else None, choices, fused, net)

    @torch.inference_mode()
    def code(self, analysis: Analysis, quality: float, *, always: bool = False, effort: int = 0) -> CodedImage:
        """The part of `compress` that depends on the quality: with the references or without any, whichever costs
        least in R + λ·D; blocks that come out badly are coded otherwise.

        References that resemble nothing in the photo would cost indices and mislead the prior. Where CLM and CLS act
        on the latent itself, the model knows no coding without them, and they are kept.
        always: keep the references, the network and its syntax in any case. effort: 0 to 9; what it finds is kept where
        it costs less. Images that the safety net has doubts about stay as they are.
        Raises ProfileError for a quality or an effort out of range.
        """
        effort = check_effort(effort)
        coded, doubtful = self._code_safely(analysis, quality, always=always)
        if effort and not doubtful and coded.stream.picture is None:
            return self._refined(analysis, coded, effort, always=always)
        if doubtful:
            # Where the way of coding changes, more quality may look worse: never worse than at an anchor below.
            better = self._better_anchor(analysis, quality, analysis.net.error(coded.picture))
            if better is not None:
                return CodedImage(better.stream, self._decoded(better.stream), better.references)
        return coded

    @torch.inference_mode()
    def code_with(self, analysis: Analysis, quality: float, references: UsedReferences) -> CodedImage:
        """Code with the network and these references, without the safety net.

        Raises ProfileError for a quality out of range.
        """
        codings = self._codings(self.code_latent(analysis, quality, references))
        candidate, _ = self._cheapest(analysis, codings)
        return CodedImage(candidate.stream, candidate.picture, references)

    def _choices(self, image: NDArray[np.uint8], latent: Tensor) -> tuple[UsedReferences, ...]:
        height, width = image.shape[:2]
        latents = self._lookup.latents
        if latents is None or (self._retriever is None and self._aligner is None):
            raise MissingArtifactError(
                "coding with references needs a dictionary and its reference latents; "
                "name one with --dictionary, or code without references"
            )
        number = self._config.references
        if self._retriever is None:
            return self._aligned(image, np.empty((0, 0), dtype=np.int64))
        if not self._config.references_optional:
            return (self._lookup.entries(self._retriever.retrieve(image, number), height, width),)
        candidates = self._retriever.retrieve(image, min(CANDIDATES_PER_REFERENCE * number, len(latents)))
        aligned = self._aligned(image, candidates)
        if aligned and not latents.at_hand:
            return aligned
        if not latents.at_hand:
            candidates = candidates[:, : _CANDIDATES_TO_ANALYSE * number]
        gain = self._network.model.gain.gain(_TYPICAL_QUALITY)
        chosen = choose(latent, candidates, latents, gain, number)
        return (self._lookup.entries(chosen, height, width), *aligned)

    def _aligned(self, image: NDArray[np.uint8], candidates: NDArray[np.int64]) -> tuple[UsedReferences, ...]:
        """Photos that are brought into line with an image; none, where none is like it or nothing aligns."""
        if self._aligner is None or not self._lookup.aligns:
            return ()
        alignment = self._aligner.align(image, candidates, MAX_REFERENCES)
        if alignment is None:
            return ()
        # What other light does to a prediction is only known from coding with it.
        offered = alignment, alignment.in_own_light
        known = None if self._config.fuses else _KNOWN
        height, width = image.shape[:2]
        return tuple(self._lookup.aligned(each, height, width, known) for each in offered if each is not None)

    def _code_safely(self, analysis: Analysis, quality: float, *, always: bool = False) -> tuple[CodedImage, bool]:
        """The image with the cheapest of its references, after the safety net; and whether that has doubts."""
        choices = analysis.choices or (NO_REFERENCES,)
        if not always and self._config.references_optional:
            choices = (*analysis.choices, NO_REFERENCES)
        codings = (
            coding
            for choice in choices
            for coding in self._codings(self.code_latent(analysis, quality, choice), always=always)
        )
        cheapest, references = self._cheapest(analysis, codings)
        safe = analysis.net.caught(cheapest, keep=always)
        return CodedImage(safe.stream, safe.picture, references), safe.doubtful

    def _codings(self, coded: CodedLatent, *, always: bool = False) -> list[CodedLatent]:
        """A latent with its syntax, if it has one, and without; always: with only."""
        return [coded] if coded.syntax is None or always else [coded, self._with_syntax(coded, None)]

    def _cheapest(self, analysis: Analysis, codings: Iterable[CodedLatent]) -> tuple[Candidate, UsedReferences]:
        """One after the other: of a large photo, a single coding and its picture are in memory."""
        best: tuple[Candidate, UsedReferences] | None = None
        least: float | None = None  # of a single one, nobody asks
        for coding in codings:
            candidates = self._candidates(coding)
            del coding
            for candidate, references in candidates:
                if best is None:
                    best = candidate, references
                    continue
                least = analysis.net.cost(best[0]) if least is None else least
                cost = analysis.net.cost(candidate)
                if cost < least:
                    best, least = (candidate, references), cost
        assert best is not None, "there is at least one"
        return best

    def _better_anchor(self, analysis: Analysis, quality: float, error: float) -> Anchor | None:
        """The best of the anchors below a quality, if its picture has less than that error."""
        best: Anchor | None = None
        for anchor in (each for each in _ANCHORS if each < quality):
            if not error:
                break
            if anchor not in analysis.anchors:
                coded, _ = self._code_safely(analysis, anchor)
                found = Anchor(coded.stream, coded.references, analysis.net.error(coded.picture))
                analysis.anchors[anchor] = found
            other = analysis.anchors[anchor]
            if other.error < error:
                best, error = other, other.error
        return best

    def _decoded(self, stream: Bitstream) -> NDArray[np.uint8]:
        return Decoder(self._network, self._lookup, self.max_pixels).decompress(stream.to_bytes())

    def _refined(self, analysis: Analysis, coded: CodedImage, effort: int, *, always: bool) -> CodedImage:
        """The image at its quality and with its references, coded with effort, if that costs less as it stands."""
        quality, references = coded.stream.header.quality, coded.references
        scaled, hyper = self._start(analysis, quality, references)
        syntax = None if coded.stream.syntax is None else self._numbers(scaled, quality)  # if it did not pay, none
        start = Aim(scaled.rows(), hyper, syntax=syntax)
        blends = coded.stream.header.is_blended
        aim = self._refinement(analysis.image, start, quality, references, effort, blends=blends)
        found = self.code_latent(analysis, quality, references, aim)
        codings = self._codings(found, always=always)
        if syntax is not None:
            codings.append(self._with_syntax(found, syntax))
        safe = analysis.net.caught(self._cheapest(analysis, codings)[0], keep=always)
        if safe.doubtful or analysis.net.cost(safe) >= analysis.net.cost(Candidate(coded.stream, coded.picture)):
            return coded
        return CodedImage(safe.stream, safe.picture, references)

    def scaled_latent(self, analysis: Analysis, quality: float, references: UsedReferences) -> ScaledLatent:
        """What ŷ comes within half a step of, at one quality with these references, without effort."""
        latent, gain = analysis.latent_with(references), self._network.model.gain.gain(stored_quality(quality))
        if latent is None:
            return ScaledLatent(self._network.analyse(analysis.image), gain, lent=False)
        return ScaledLatent(latent, gain)

    def _numbers(self, scaled: ScaledLatent, quality: float) -> Tensor | None:
        """Of the syntax, not rounded; None where none is written."""
        return self._network.model.syntax_numbers(scaled.rows(), quality) if self._writes_syntax else None

    def _start(self, analysis: Analysis, quality: float, references: UsedReferences) -> tuple[ScaledLatent, Tensor]:
        """What the transforms give at one quality with these references: the latent, and z."""
        scaled = self.scaled_latent(analysis, quality, references)
        return scaled, self._network.hyper_latent(scaled, quality, references)

    @torch.inference_mode()
    def code_latent(
        self, analysis: Analysis, quality: float, references: UsedReferences, aim: Aim | None = None
    ) -> CodedLatent:
        """Code the latent at one quality with these references: gain, prior, entropy coding.

        aim: what a search found in place of the latent. Raises ProfileError for a quality out of range.
        """
        quality = stored_quality(quality)
        if aim is None:
            scaled, hyper = self._start(analysis, quality, references)
            syntax = self._numbers(scaled, quality)
        else:
            scaled, hyper, syntax = ScaledLatent(aim.latent, None, lent=False), aim.hyper, aim.syntax
        rate = self._network.rate(quality)
        hyper_data, z_hat = self._hyper_coder.encode(hyper)
        features = self._network.features(z_hat, rate)
        weight = None if aim is None else aim.weight
        latent, decoded = self._encode_latent(scaled, weight, features, rate, references.latents)
        header = self._header(analysis, quality, references)
        stream = Bitstream(header, references.entries, hyper_data, latent, 0)
        return self._with_syntax(CodedLatent(stream, decoded, features, references), syntax)

    def _with_syntax(self, coded: CodedLatent, aim: Tensor | None) -> CodedLatent:
        """The same latent with other numbers in its syntax, those nearest to `aim` [1, n]; None for no syntax."""
        section, numbers, own, coder = None, None, self._network.model.syntax, self._network.syntax
        if aim is not None:
            assert own is not None, "no other model makes numbers"
            assert coder is not None, "likewise"
            section, numbers = coder.encode(aim, *own.prior(coded.features))
        checksum = latent_checksum(coded.decoded, coded.references, numbers)
        return replace(coded, stream=replace(coded.stream, syntax=section, latent_checksum=checksum), syntax=numbers)

    def _encode_latent(
        self, scaled: ScaledLatent, weight: Tensor | None, features: Tensor, rate: Rate, references: Tensor | None
    ) -> tuple[bytes, Tensor]:
        model, tables = self._network.model, self._network.latent_tables
        coder = self._network.latent_coder()
        if self._network.in_bands(*(LATENT_STRIDE * side for side in features.shape[2:])):
            bands = WrittenBands(coder, scaled, weight)
            known, into = model.prior_references(references), None if scaled.lent else scaled.latent
            decoded = decode_in_bands(model.prior, features, rate, bands, known, into=into)
            return bands.close(), decoded
        aim = scaled.rows().double()
        blocks: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []

        def quantise(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            own = None if weight is None else block.each(weight)
            symbols = symbols_near(block.of(aim), mean, level, own)
            blocks.append((flat_integers(symbols), flat_integers(level)))
            return symbols + mean

        decoded = model.decode(features, rate, quantise, references)
        stack = tables.empty()
        for symbols, level in reversed(blocks):  # a stack: the slice decoded first is pushed last
            coder.push(stack, symbols, level)
        return tables.close(stack), decoded

    def _header(self, analysis: Analysis, quality: float, references: UsedReferences) -> Header:
        queries, number = references.entries.shape
        transmitted = self._lookup.latents if number else None
        scope = Scope.IMAGE if queries == 1 < tile_count(analysis.height, analysis.width) else Scope.TILE
        return Header(
            model_id=self._network.model_id,
            dictionary_id=NO_DICTIONARY if transmitted is None else transmitted.dictionary_id,
            height=analysis.height,
            width=analysis.width,
            quality=quality,
            references=number,
            index_bits=0 if transmitted is None else index_bits(len(transmitted)),
            scope=scope if references.alignment is None else Scope.ALIGNED,
        )

    def _candidates(self, coded: CodedLatent) -> Iterator[tuple[Candidate, UsedReferences]]:
        """A coding and what a decoder shows of it: as it is, or blended with some or all of its references."""
        picture, used, quality = self._picture(coded), coded.references, coded.stream.header.quality
        if used.alignment is None or used.seen is None or used.latents is None:
            yield Candidate(coded.stream, picture), used
            return
        known = used.latents.shape[1]
        first = used.first(known)
        yield Candidate(with_alignment(coded.stream, used.alignment.first(known), Scope.ALIGNED), picture), first
        scope = Scope.FIRST if known == _KNOWN else Scope.BLENDED
        for number in sorted({known, max(known, min(_FEW, len(used.seen))), len(used.seen)}):
            stream = with_alignment(coded.stream, used.alignment.first(number), scope)
            yield Candidate(stream, blended(picture, used.seen[:number], quality)), used.first(number)

    def _picture(self, coded: CodedLatent) -> NDArray[np.uint8]:
        """What a decoder on this machine makes of the stream, without reading it."""
        header = coded.stream.header
        size = header.height, header.width
        return self._network.synthesise(
            coded.decoded, coded.features, header.quality, coded.references, size, coded.syntax
        )


def with_alignment(stream: Bitstream, alignment: Alignment, scope: Scope) -> Bitstream:
    """The stream of a latent that was coded with the first of these photos, or all: with what it says of them."""
    return replace(
        stream,
        header=replace(stream.header, references=len(alignment.views), scope=scope),
        entries=alignment.entries[None],
        corners=alignment.corners,
        displacements=alignment.displacements,
        light=alignment.light,
    )
