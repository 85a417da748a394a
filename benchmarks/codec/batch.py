"""The prior path of several streams as one batch: what the codec, which decodes image by image, never does itself.

It is written from docs/bitstream.md and the published parts of the codec.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clc.codec.bitstream import Bitstream
from clc.codec.entropy import TableCoder
from clc.codec.latent_coder import LatentCoder
from clc.codec.stream_header import Header
from clc.codec.syntax_coder import SyntaxCoder
from clc.model.network import CompressionModel
from clc.model.priors.prior import MEAN_EXPONENT
from clc.model.priors.stages import Block
from clc.model.tiles import IMAGE_MULTIPLE, padded_size


def hyper_size(header: Header) -> tuple[int, int]:
    """Rows and columns of ẑ."""
    return padded_size(header.height) // IMAGE_MULTIPLE, padded_size(header.width) // IMAGE_MULTIPLE


@dataclass(frozen=True)
class DecodedLatents:
    """Of several streams: ŷ [B, C, h, w] in quantisation steps and hyper features [B, F, h, w], float64.

    syntaxes: the numbers [1, n] of those that have some.
    """

    latents: Tensor
    features: Tensor
    syntaxes: list[Tensor | None]

    def checksums(self) -> list[int]:
        """CRC-32 of each ŷ and syntax, as streams carry it."""
        known = zip(self.latents, self.syntaxes, strict=True)
        return [zlib.crc32(_integers(own) + (b"" if syntax is None else _integers(syntax))) for own, syntax in known]


def _integers(values: Tensor) -> bytes:
    return (values * 2.0**MEAN_EXPONENT).to(torch.int32).cpu().numpy().astype("<i4").tobytes()


@torch.inference_mode()
def decoded_latents(model: CompressionModel, streams: list[Bitstream]) -> DecodedLatents:
    """Of streams without references that have one size of ẑ and one quality."""
    header = streams[0].header
    device = model.gain.log_gain.device
    size = hyper_size(header)
    channels = np.repeat(np.arange(model.config.prior.hyper_channels, dtype=np.int32), size[0] * size[1])
    hyper_coder, latent_coder = TableCoder(model.hyper_tables), LatentCoder(TableCoder(model.latent_tables))
    hyper = np.stack([hyper_coder.pop(hyper_coder.open(stream.hyper or b""), channels) for stream in streams])
    stacks = [latent_coder.tables.open(stream.latent or b"") for stream in streams]

    def read(block: Block, mean: Tensor, level: Tensor) -> Tensor:
        levels = level.to(torch.int32).cpu().numpy()
        symbols = np.zeros_like(levels)
        for number, stack in enumerate(stacks):
            table = levels[number :: len(stacks)]  # one phase after the other
            symbols[number :: len(stacks)] = latent_coder.pop(stack, table.ravel()).reshape(table.shape)
        return torch.from_numpy(symbols).to(mean) + mean

    z_hat = torch.from_numpy(hyper).double().to(device).reshape(len(streams), -1, *size)
    rate = model.gain.exact_rate(header.quality)
    features = model.prior.features(z_hat, rate)
    syntaxes = _syntaxes(model, streams, features)
    return DecodedLatents(model.decode(features, rate, read, None), features, syntaxes)


def _syntaxes(model: CompressionModel, streams: list[Bitstream], features: Tensor) -> list[Tensor | None]:
    if model.syntax is None:
        return [None] * len(streams)
    means, levels = model.syntax.prior(features)
    coder = SyntaxCoder(TableCoder(model.latent_tables))
    return [
        None if stream.syntax is None else coder.decode(stream.syntax, mean[None], level[None])
        for stream, mean, level in zip(streams, means, levels, strict=True)
    ]
