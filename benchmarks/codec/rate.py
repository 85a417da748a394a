"""File sizes beside the model's own estimates: entropy coder, header, indices, and what freezing the prior costs.

estimate: Σ −log2 p of the symbols in the file, with p from the frozen frequency tables, and with p from the model's
densities (CompressAI's Gaussian and factorised ones, with its lower bound), which the tables stand for. Symbols at
scale level 0 have a table of their own; the densities' estimate leaves them out. The strings may exceed each by 0.5 %
over all photos of a quality; header, checksums, the lengths of sections and references may take 50 bytes and
⌈Q·M·⌈log2 K⌉ / 8⌉ bytes of each file with Q queries.

freezing: the densities' estimate with the exact prior beside that with the prior in floating point, without
references. The prior of a stored model is frozen: here its weights are evaluated without rounding activations, means
and scale levels, which leaves out what rounding the weights to 16 bits costs. A second model is therefore trained for a
few steps on the bundled photos, and estimated before and after it is frozen.
"""

import argparse
import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.codec import subject
from benchmarks.codec.freezing import frozen_copy, in_floating_point, train_briefly
from benchmarks.codec.symbols import CodedSymbols, StreamSymbols, read_symbols
from benchmarks.printing import print_table
from clc.codec.bitstream import Bitstream, describe
from clc.codec.codec import Codec
from clc.codec.latent_coder import FLAGGED, WITHIN
from clc.codec.references.protocols import index_bits
from clc.images import Photo, open_source, read_photos
from clc.model.network import CompressionModel
from clc.model.priors.likelihood import gaussian_likelihood, round_half_up, scale_of
from clc.model.priors.stages import Block
from clc.model.priors.tables import FREQUENCY_BITS, FrequencyTables
from clc.model.tiles import to_padded_tensor

_QUALITIES = (1.0, 25.0, 50.0, 75.0, 100.0)
_LARGEST_EXCESS = 0.005
_LARGEST_HEADER = 50
_CORNER = 4  # a coordinate of aligned references, at most
_ESCAPE_BITS = 16


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --steps and --threads."""
    subject.add_options(parser)
    parser.add_argument("--steps", type=int, default=200, help="training steps of the second model")
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Print both tables; 1 if a file is larger than promised."""
    torch.set_num_threads(options.threads)
    codec = subject.open_subject(options).codec()
    photos = subject.open_photos(options)
    print(f"\nbytes of a file, mean of {len(photos)} photos, with references\n")
    kept = _print_sizes(codec, photos)
    print("what freezing adds to the estimate of the densities, without references\n")
    rows = _freezing_rows("the stored model", in_floating_point(codec.model), codec.model, photos)
    training = list(read_photos(open_source("bundled?split=reference"), skipped=[]))
    test = list(read_photos(open_source("bundled?split=test"), skipped=[]))
    trained = train_briefly(codec.model.config, [photo.pixels for photo in training], options.steps)
    frozen = frozen_copy(trained, [photo.pixels for photo in training])
    rows += _freezing_rows(f"trained here, {options.steps} steps", trained, frozen, test)
    print_table(["model", "quality", "photos", "float, bytes", "exact, bytes", "cost, %"], rows)
    return 0 if kept else 1


def _print_sizes(codec: Codec, photos: list[Photo]) -> bool:
    rows = []
    kept = True
    for quality in _QUALITIES:
        sizes = np.array([_sizes(codec, photo.pixels, quality) for photo in photos], dtype=np.float64)
        strings, tables, densities, framing, allowed, indices = sizes.T
        excesses = [float(strings.sum() / estimate.sum()) - 1 for estimate in (tables, densities)]
        kept &= max(excesses) <= _LARGEST_EXCESS and bool((framing + indices <= allowed).all())
        rows.append(
            [
                quality,
                float((strings + framing + indices).mean()),
                float(framing.max()),
                float(indices.max()),
                float(tables.mean()),
                100 * excesses[0],
                100 * float((strings / tables).max() - 1),
                float(densities.mean()),
                100 * excesses[1],
            ]
        )
    heading = ["quality", "file", "header, at most", "references, at most"]
    heading += ["tables", "excess, %", "worst photo, %", "densities", "excess, %"]
    print_table(heading, rows)
    print(f"promises: excess over both ≤ {_LARGEST_EXCESS:.1%}, header ≤ {_LARGEST_HEADER} bytes,", end=" ")
    print(f"references ≤ ⌈Q·M·⌈log2 K⌉ / 8⌉ bytes: {'kept' if kept else 'BROKEN'}\n")
    return kept


def _sizes(codec: Codec, image: NDArray[np.uint8], quality: float) -> list[float]:
    """Bytes: strings; estimates of tables and densities; header with checksums; allowed for all; references."""
    data = codec.compress(image, quality=quality, always=True)
    stream = Bitstream.from_bytes(data)
    sections = describe(data)["bytes"]
    assert isinstance(sections, dict)
    strings = len(stream.hyper or b"") + len(stream.latent or b"")
    symbols = read_symbols(codec, data)
    entries = len(codec.latents) if codec.latents else 1
    indices = math.ceil(stream.header.queries * stream.header.references * index_bits(entries) / 8)
    corners = 0 if stream.corners is None else _CORNER * stream.corners.size
    return [
        strings,
        _table_bits(codec.model, symbols) / 8,
        _density_bits(codec.model, symbols) / 8,
        sections["header"] + sections["checksums"] + sections["z"] + sections["y"] - strings,
        _LARGEST_HEADER + corners + indices,
        sections["references"] + sections["corners"],
    ]


def _table_bits(model: CompressionModel, symbols: StreamSymbols) -> float:
    flagged = int(symbols.flags.sum())
    flags = flagged * math.log2(FLAGGED) + (len(symbols.flags) - flagged) * math.log2(2**FREQUENCY_BITS - FLAGGED)
    within = CodedSymbols(symbols.within, np.zeros_like(symbols.within))
    return (
        _code_length(model.hyper_tables, symbols.hyper)
        + _code_length(model.latent_tables, symbols.latent)
        + len(symbols.flags) * FREQUENCY_BITS
        - flags
        + _code_length(WITHIN, [within])
    )


def _code_length(tables: FrequencyTables, blocks: Iterable[CodedSymbols]) -> float:
    starts = np.cumsum(2 * tables.radius + 2) - (2 * tables.radius + 2)
    bits = 0.0
    for block in blocks:
        radius = tables.radius[block.table]
        escaped = np.abs(block.symbols) > radius
        column = np.where(escaped, 2 * radius + 1, block.symbols + radius)
        frequencies = tables.frequencies[starts[block.table] + column]
        bits += float((FREQUENCY_BITS - np.log2(frequencies)).sum()) + _ESCAPE_BITS * int(escaped.sum())
    return bits


@torch.inference_mode()
def _density_bits(model: CompressionModel, coded: StreamSymbols) -> float:
    channels = model.config.prior.hyper_channels
    z_hat = torch.from_numpy(np.concatenate([block.symbols for block in coded.hyper])).float()
    likelihoods = [model.hyper_prior.likelihood(z_hat.reshape(channels, 1, -1))]
    for block in coded.latent:
        symbols, levels = torch.from_numpy(block.symbols).float(), torch.from_numpy(block.table).float()
        likelihoods.append(gaussian_likelihood(symbols, 0.0, scale_of(levels)))
    return _information(likelihoods)


def _freezing_rows(
    name: str, floating: CompressionModel, frozen: CompressionModel, photos: list[Photo]
) -> list[list[object]]:
    exact = Codec(frozen, "0" * 16)
    rows: list[list[object]] = []
    for quality in _QUALITIES:
        before = after = 0.0
        for photo in photos:
            before += _floating_density_bits(floating, photo.pixels, quality) / 8
            data = exact.compress(photo.pixels, quality=quality, references=False, always=True)
            after += _density_bits(frozen, read_symbols(exact, data)) / 8
        mean_before, mean_after = before / len(photos), after / len(photos)
        rows.append([name, quality, len(photos), mean_before, mean_after, 100 * (after / before - 1)])
    return rows


@torch.inference_mode()
def _floating_density_bits(model: CompressionModel, image: NDArray[np.uint8], quality: float) -> float:
    """What the encoder does, with the prior in floating point."""
    scaled = model.g_a(to_padded_tensor(image[None])) * model.gain.gain(quality)
    z_hat = round_half_up(model.hyper_latent(scaled, quality, None))
    likelihoods = [model.hyper_prior(z_hat)]

    def quantise(block: Block, mean: Tensor, level: Tensor) -> Tensor:
        symbols = round_half_up(block.of(scaled) - mean)
        likelihoods.append(gaussian_likelihood(symbols, 0.0, scale_of(level)))
        return symbols + mean

    rate = model.gain.rate(quality)
    model.decode(model.prior.features(z_hat, rate), rate, quantise, None)
    return _information(likelihoods)


def _information(likelihoods: list[Tensor]) -> float:
    return sum(-float(torch.log2(likelihood.double()).sum()) for likelihood in likelihoods)
