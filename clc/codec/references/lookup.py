"""From what a stream says of references to their latents: the same in the encoder, in the decoder, on every machine."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.codec.bitstream import Bitstream
from clc.codec.references.aligned_photos import AlignedPhoto, AlignedPhotos
from clc.codec.references.displacement_section import read_displacements
from clc.codec.references.light import read_lights
from clc.codec.references.protocols import (
    NO_REFERENCES,
    Alignment,
    EntryLatents,
    ReferencePhotos,
    UsedReferences,
    dequantised_tiles,
)
from clc.codec.references.view import View
from clc.codec.stream_header import tile_count
from clc.errors import BitstreamError, MissingArtifactError
from clc.model.conditioning.fusion import Features
from clc.model.network import CompressionModel
from clc.model.tiles import split_latent
from clc.model.transforms.convolutional import ConvolutionalAnalysis


class ReferenceLookup:
    """The references of one model and, optionally, one dictionary.

    latents: of the dictionary. photos: needed for references that are aligned. aligned: of the model, where several
    lookups share what they analyse.
    """

    def __init__(
        self,
        model: CompressionModel,
        latents: EntryLatents | None,
        photos: ReferencePhotos | None,
        aligned: AlignedPhotos | None = None,
    ) -> None:
        self._model = model
        self.latents = latents
        self.photos = photos
        self._shared = aligned

    @property
    def aligns(self) -> bool:
        """Whether there is all that aligned references take."""
        return self.photos is not None and isinstance(self._model.g_a, ConvolutionalAnalysis)

    @property
    def bytes(self) -> int:
        """What decoding our encoder's streams takes beside the model: latents, and photos if it aligns some."""
        latents = 0 if self.latents is None else self.latents.bytes
        if self.photos is None or not self.aligns or not self._model.config.references_optional:
            return latents
        return latents + self.photos.bytes

    def entries(self, entries: NDArray[np.int64], height: int, width: int) -> UsedReferences:
        """Of an image of that size: entries [T, M], or [1, M] for every tile, or those that the model learned.

        Raises BitstreamError for an entry that is not in the dictionary.
        """
        tiles = tile_count(height, width)
        if self._model.config.learns_references:
            learned = self._model.learned_references.expand(tiles, -1, -1, -1, -1)
            return UsedReferences(NO_REFERENCES.entries, latents=learned)
        if entries.size == 0 or self.latents is None:
            return NO_REFERENCES
        self._check(entries, self.latents)
        values = self.latents.stored(entries)
        latents = self._dequantised(values, torch.from_numpy(self.latents.exponents)).expand(tiles, -1, -1, -1, -1)
        return UsedReferences(entries, values, latents)

    def aligned(self, alignment: Alignment, height: int, width: int, known: int | None = None) -> UsedReferences:
        """Photos, brought into line with an image of that size; the first `known` of them, or all, analysed.

        Raises BitstreamError for an entry that is not in the dictionary or corners that make no sense,
        MissingArtifactError if this is no dictionary or model for it.
        """
        if self.latents is None or not self.aligns:
            raise MissingArtifactError(
                "aligned references need a convolutional model, and the dictionary with the pictures of its entries"
            )
        assert self.photos is not None, "aligns"
        self._check(alignment.entries, self.latents)
        shown = alignment.photos if known is None else alignment.photos[:known]
        found = [
            self._aligned_photos.analysed(self.photos.key(entry), self.photos.photo(entry), view, height, width)
            for entry, view in shown
        ]
        seen, analysed = zip(*found, strict=True)
        others = (view.of(self.photos.photo(entry), height, width) for entry, view in alignment.photos[len(shown) :])
        values, exponents = self.latents.quantised(torch.cat([each.latent for each in analysed]))
        tiles = torch.stack([split_latent(each[None]) for each in values], dim=1)
        latents = self._dequantised(tiles, exponents)
        entries = alignment.entries[None]
        return UsedReferences(entries, tiles, latents, alignment, _joined(analysed), seen=(*seen, *others))

    def _dequantised(self, values: Tensor, exponents: Tensor) -> Tensor:
        return dequantised_tiles(values, exponents).to(self._model.device)

    def pictures(self, alignment: Alignment, height: int, width: int) -> list[NDArray[np.uint8]]:
        """What an image of that size shows of them, uint8 [height, width, 3] each. Raises as `aligned` does."""
        assert self.photos is not None, "aligns"
        return [view.of(self.photos.photo(entry), height, width) for entry, view in alignment.photos]

    @cached_property
    def _aligned_photos(self) -> AlignedPhotos:
        return self._shared or AlignedPhotos(self._model)

    def _check(self, entries: NDArray[np.int64], latents: EntryLatents) -> None:
        if entries.max() >= len(latents):
            raise BitstreamError(f"entry {entries.max()} is outside the dictionary of {len(latents)} entries")


def stated_alignment(stream: Bitstream) -> Alignment | None:
    """What a stream says of photos that are aligned; None if none are.

    Raises BitstreamError for displacements or light that make no sense.
    """
    header = stream.header
    if stream.corners is None:
        return None
    grids = read_displacements(stream.displacements, header.references, header.height, header.width)
    lights = read_lights(stream.light, header.references)
    return Alignment(stream.entries[0], tuple(map(View, stream.corners, grids, lights)))


def _joined(photos: Sequence[AlignedPhoto]) -> Features | None:
    """Features of all photos, [1, M, w, h, w'] at each scale."""
    features = [photo.features for photo in photos if photo.features is not None]
    return tuple(torch.cat(scale, dim=1) for scale in zip(*features, strict=True)) or None
