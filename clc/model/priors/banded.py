"""The exact prior on bands of rows: the numbers of `Prior.decode`, for photos that it would take gigabytes for.

An entropy coder takes a block of symbols of the whole photo at once, so block follows block, and within a block band
follows band. What is known of the photo is kept in 32 bits, which hold all of it exactly; 64-bit numbers, in which
the sums are made, exist for a band only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from clc.model.gain import Rate
from clc.model.priors.matching import Match, PriorMatcher
from clc.model.priors.prior import ConditionedPrior, PlainPrior, Prior, support_of
from clc.model.priors.scale import NORMALISED_EXPONENT
from clc.model.priors.slices import SliceNetwork
from clc.model.priors.stages import Block, Phase
from clc.model.streaming import Band, gathered, streamed
from clc.model.tiles import IMAGE_MULTIPLE, LATENT_STRIDE, LATENT_TILE

HYPER_STRIDE = IMAGE_MULTIPLE // LATENT_STRIDE
"""Rows of the latent for a row of z."""
POSITIONS_AT_ONCE = 2**13
"""Of the latent, in a band: some hundred numbers of 64 bits each."""


class Tiles(Protocol):
    """Reference latents [T, M, C, 16, 16] of the tiles of a photo, before the gain."""

    def __getitem__(self, some: slice) -> Tensor: ...


class BlockCoder(Protocol):
    """What encodes or decodes symbols: a block's bands from above to below, then its end."""

    def band(self, block: Block, rows: slice, mean: Tensor, level: Tensor, latent: "PartlyDecoded") -> None:
        """Take means and levels of some rows, float64 as `Block.of` has them. They are not looked at again."""

    def end(self, block: Block, latent: "PartlyDecoded") -> None:
        """The block's rows are all there: `latent` holds what is decoded of it from here on."""


Rows = Callable[[slice], Tensor]
"""What there is in some rows: [1, C, rows, w]."""


@dataclass(frozen=True)
class PartlyDecoded:
    """ŷ float32 [1, C, h, w] in quantisation steps, as far as it is decoded."""

    values: Tensor

    def of(self, block: Block, rows: slice) -> list[Tensor]:
        """Where a block lies in these rows, one view for each phase: [1, c, rows, w] or [1, c, rows/2, w/2]."""
        own = self.values[:, block.start : block.end, rows]
        return [own[:, :, row::2, column::2] for row, column in block.phases] if block.phases else [own]


def bands_of(height: int, rows_at_once: int) -> Iterator[slice]:
    """So many rows, and so many again, and what is left of a height."""
    for top in range(0, height, rows_at_once):
        yield slice(top, min(top + rows_at_once, height))


def tiles_of(rows: slice, width: int) -> slice:
    """The tiles that rows of a latent `width` wide lie in; the first is a tile's first row."""
    across = -(-width // LATENT_TILE)
    return slice(rows.start // LATENT_TILE * across, -(-rows.stop // LATENT_TILE) * across)


def usual_rows(width: int) -> int:
    """Rows of a band of a latent so wide: a multiple of 16."""
    return LATENT_TILE * max(1, POSITIONS_AT_ONCE // (LATENT_TILE * width))


def hyper_latent_in_bands(
    prior: Prior, scaled: Rows, size: tuple[int, int], rate: Rate, references: Tiles | None, rows_at_once: int = 0
) -> Tensor:
    """`Prior.hyper_latent` of a latent [1, C, h, w] in quantisation steps, of which `scaled` gives rows.

    size: h and w. Raises TypeError for an h_a that is evaluated on whole pictures only.
    """
    height, width = size

    def seen() -> Iterator[Band]:
        for rows in bands_of(height, rows_at_once or usual_rows(width)):
            known = None if references is None else references[tiles_of(rows, width)]
            yield prior.of(known).seen(*prior.normalised(scaled(rows), rate, known)), rows.stop == height

    h_a = prior.of(None if references is None else references[:1]).h_a
    parts = [band for band, _ in streamed(h_a, seen())]
    return torch.cat(parts, dim=2)


def features_in_bands(prior: Prior, z_hat: Tensor, rate: Rate, rows_at_once: int = 0) -> Tensor:
    """`Prior.features` of a frozen prior, float32 [1, F, h, w]: it holds them exactly."""
    height, width = z_hat.shape[2] * HYPER_STRIDE, z_hat.shape[3] * HYPER_STRIDE
    step = (rows_at_once or usual_rows(width)) // HYPER_STRIDE
    bands = ((z_hat[:, :, rows], rows.stop == z_hat.shape[2]) for rows in bands_of(z_hat.shape[2], step))
    features = torch.empty(1, prior.feature_channels, height, width)
    gathered(streamed(prior.hyper_synthesis, bands), features[:, :-1])
    features[:, -1] = rate.position
    return features


def decode_in_bands(
    prior: Prior,
    features: Tensor,
    rate: Rate,
    coder: BlockCoder,
    references: Tiles | None,
    *,
    into: Tensor | None = None,
    rows_at_once: int = 0,
) -> Tensor:
    """ŷ float32 [1, C, h, w], in quantisation steps, of a frozen prior.

    features: hyper features float32 [1, F, h, w], which hold them exactly. into: where ŷ is put, block by block; the
    latent itself may lie there, of which each block is looked at before. rows_at_once: of a band, a multiple of 16.
    """
    return _BandedPrior(prior, features, rate, references, into, rows_at_once).decode(coder)


class _BandedPrior:
    def __init__(
        self,
        prior: Prior,
        features: Tensor,
        rate: Rate,
        references: Tiles | None,
        into: Tensor | None,
        rows_at_once: int,
    ) -> None:
        self._prior, self._features, self._rate, self._references = prior, features, rate, references
        self._height, self._width = features.shape[-2:]
        self._step = rows_at_once or usual_rows(self._width)
        self._spread = prior.scale.spread(rate)
        shape = 1, prior.blocks[-1][1], self._height, self._width
        self._latent = PartlyDecoded(features.new_empty(shape) if into is None else into)
        self._match: Match | None = None  # latents int16 in steps of their grid, and scores

    def decode(self, coder: BlockCoder) -> Tensor:
        own = self._prior.of(None if self._references is None else self._features)
        for index, (network, (start, end)) in enumerate(zip(own.networks, self._prior.blocks, strict=True)):
            self._match_before(own, index, start)
            begun = self._begun(network, start, end) if len(network.stages) > 1 else None
            done: tuple[Phase, ...] = ()
            for phases in network.stages:
                block = Block(start, end, phases)
                for rows in self._bands():
                    mean, level = self._means_and_levels(network, begun, block, done, rows)
                    coder.band(block, rows, mean, level, self._latent)
                coder.end(block, self._latent)
                done += phases
        return self._latent.values

    def _bands(self) -> Iterator[slice]:
        return bands_of(self._height, self._step)

    def _grown(self, rows: slice, margin: int) -> slice:
        return slice(max(0, rows.start - margin), min(self._height, rows.stop + margin))

    def _known(self, rows: slice, start: int) -> Tensor:
        """What is decoded before channel `start`, as the prior sees it: float64 [1, F + start, rows, w]."""
        features = self._features[:, :, rows].double()
        if not start:
            return features
        before = self._latent.values[:, :start, rows].double()
        return torch.cat([features, self._prior.scale.normalised(before, self._spread[:, :start])], dim=1)

    def _matched(self, rows: slice) -> Match | None:
        if self._match is None:
            return None
        latents = self._match.latents[:, :, rows].double() * 2.0**-NORMALISED_EXPONENT
        return Match(latents, self._match.score[:, :, rows])

    def _support(self, rows: slice, start: int, end: int) -> tuple[Tensor, Tensor | None]:
        return support_of(self._known(rows, start), self._matched(rows), start, end)

    def _match_before(self, own: PlainPrior, index: int, start: int) -> None:
        """Look for the references' match of what is known before a slice, where the prior makes one there."""
        if self._references is None or not isinstance(own, ConditionedPrior) or index >= len(own.matches):
            return
        matcher, channels = own.matches[index], own.matched_before(index)
        assert isinstance(matcher, PriorMatcher)
        number = self._latent.values.shape[1] if channels is None else channels
        found = Match(
            self._features.new_empty((1, number, self._height, self._width), dtype=torch.int16),
            self._features.new_empty((1, 1, self._height, self._width), dtype=torch.float64),
        )
        for rows in self._bands():
            seen = self._grown(rows, 1)
            asked = matcher.query(self._known(seen, start))[:, :, rows.start - seen.start :][:, :, : _count(rows)]
            own_references = self._references[tiles_of(rows, self._width)]
            references = self._prior.scale.normalised_references(own_references, self._rate)
            match = matcher.matched(asked, references, channels)
            found.latents[:, :, rows] = (match.latents * 2.0**NORMALISED_EXPONENT).to(torch.int16)
            found.score[:, :, rows] = match.score
        self._match = found

    def _begun(self, network: SliceNetwork, start: int, end: int) -> Tensor:
        """What all stages of a slice begin with: sums float64 [1, width, h, w], of all rows."""
        begun: Tensor | None = None
        for rows in self._bands():
            seen = self._grown(rows, 1)
            sums = network.begin(self._support(seen, start, end)[0])
            if begun is None:
                begun = sums.new_empty(1, sums.shape[1], self._height, self._width)
            begun[:, :, rows] = sums[:, :, rows.start - seen.start :][:, :, : _count(rows)]
        assert begun is not None
        return begun

    def _means_and_levels(
        self, network: SliceNetwork, begun: Tensor | None, block: Block, done: tuple[Phase, ...], rows: slice
    ) -> tuple[Tensor, Tensor]:
        """Means and levels of a block in some rows."""
        margin = 2 if done else int(begun is None)  # of the convolution over neighbours, and whole 2×2 cells
        seen = self._grown(rows, margin)
        own = None
        if begun is None:
            beginning, own_match = self._support(seen, block.start, block.end)
            beginning = network.begin(beginning)
        else:
            beginning, matched = begun[:, :, seen], self._matched(seen)
            own_match = None if matched is None else matched.latents[:, block.start : block.end]
        if done:
            latent = self._latent.values[:, block.start : block.end, seen].double()
            known = _mask(done, latent)
            own = self._prior.own(
                torch.where(known > 0, latent, 0.0), known, self._spread[:, block.start : block.end], own_match
            )
        said = network(beginning, own, own_match, block.phases)
        cell = 2 if block.phases else 1
        above, count = (rows.start - seen.start) // cell, _count(rows) // cell
        cut = said[0][:, :, above : above + count], said[1][:, :, above : above + count]
        return self._prior.means_and_levels(cut, block, self._spread, self._rate)


def _count(rows: slice) -> int:
    return int(rows.stop - rows.start)


def _mask(done: tuple[Phase, ...], latent: Tensor) -> Tensor:
    """1 at the positions of these phases, 0 elsewhere: [1, 1, rows, w]."""
    known = torch.zeros_like(latent[:, :1])
    for row, column in done:
        known[:, :, row::2, column::2] = 1.0
    return known
