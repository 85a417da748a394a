"""A frozen model on large photos: band by band, so that what it takes beside the latent and the pixels is bounded.

Every value is the same sum of products as on the whole photo (`clc.model.streaming`); those of the prior path are the
same numbers on every machine, as ever.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from clc.codec.scaled_latent import ScaledLatent
from clc.model.gain import Rate
from clc.model.network import CompressionModel
from clc.model.priors.banded import Tiles, bands_of, features_in_bands, hyper_latent_in_bands
from clc.model.streaming import Band, gathered, streamed
from clc.model.tiles import LATENT_STRIDE, padded_size, to_tensor
from clc.model.transforms.convolutional import ConvolutionalConfig, LatentResidual
from clc.runtime.advance import Step, advanced
from clc.runtime.freed_memory import give_back_freed_memory

BANDED_FROM = 2**22
"""Pixels of a photo from which on it is coded in bands."""
_PIXELS_AT_ONCE = 2**18


def takes_bands(model: CompressionModel) -> bool:
    """Whether a model can be evaluated band by band: one on the CPU whose references condition the prior only, and that
    has no syntax.
    """
    config = model.config
    plain = not config.conditioning.synthesises and not config.fuses and config.syntax is None
    return plain and isinstance(config.transform, ConvolutionalConfig) and model.device.type == "cpu"


class BandedModel:
    """The parts of a model that takes bands. g_a, g_s, residual: this machine's versions of its own."""

    def __init__(self, model: CompressionModel, g_a: nn.Module, g_s: nn.Module, residual: LatentResidual) -> None:
        self._model = model
        self._g_a, self._g_s, self._residual = g_a, g_s, residual

    def analyse(self, image: NDArray[np.uint8]) -> Tensor:
        """uint8 [H, W, 3] → y float32 [1, C, h, w]."""
        height, width = (padded_size(side) for side in image.shape[:2])
        channels = self._model.config.transform.latent_channels
        latent = torch.empty(1, channels, height // LATENT_STRIDE, width // LATENT_STRIDE)
        gathered(streamed(self._g_a, _told(_padded_bands(image), height)), latent)
        give_back_freed_memory()
        return latent

    def hyper_latent(self, scaled: ScaledLatent, quality: float, references: Tiles | None) -> Tensor:
        """z [1, N, h/4, w/4], not rounded."""
        size = scaled.latent.shape[2], scaled.latent.shape[3]
        return hyper_latent_in_bands(self._model.prior, scaled.rows, size, self._model.gain.rate(quality), references)

    def features(self, z_hat: Tensor, rate: Rate) -> Tensor:
        """Hyper features float32 [1, F, h, w], exactly."""
        features = features_in_bands(self._model.prior, z_hat, rate)
        give_back_freed_memory()
        return features

    def synthesise(self, decoded: Tensor, features: Tensor, quality: float, size: tuple[int, int]) -> NDArray[np.uint8]:
        """ŷ and hyper features, float32 → the picture uint8 [H, W, 3] of `size`."""
        pixels = np.empty((*size, 3), dtype=np.uint8)
        top = 0
        for band, _ in streamed(self._g_s, self._refined(decoded, features, quality)):
            shown = to_pixels(band, max(0, min(band.shape[2], size[0] - top)), size[1])
            pixels[top : top + len(shown)] = shown
            top += band.shape[2]
            advanced(Step.SYNTHESIS, min(1.0, top / size[0]))
        give_back_freed_memory()
        return pixels

    def _refined(self, decoded: Tensor, features: Tensor, quality: float) -> Iterator[Band]:
        """`CompressionModel.refine`."""
        spread = self._model.prior.scale.spread(self._model.gain.rate(quality))
        inverse_gain = self._model.gain.inverse_gain(quality)
        height = decoded.shape[2]

        def known() -> Iterator[Band]:
            for rows in bands_of(height, _latent_rows_at_once(decoded.shape[3])):
                # In one layout, as the whole photo is: which kernel runs, and how it rounds, depends on that.
                own, other = (
                    each[:, :, rows].to(torch.float32).contiguous(memory_format=torch.channels_last)
                    for each in (decoded, features)
                )
                yield torch.cat([own / spread, other], dim=1), rows.stop == height

        top = 0
        for change, last in streamed(self._residual, known()):
            own = decoded[:, :, top : top + change.shape[2]].contiguous(memory_format=torch.channels_last)
            top += change.shape[2]
            yield (own + change) * inverse_gain, last


def to_pixels(image: Tensor, height: int, width: int) -> NDArray[np.uint8]:
    """[1, 3, H', W'], padded and not clamped → uint8 [height, width, 3]."""
    cropped = image[0, :, :height, :width].clamp(0.0, 1.0) * 255.0
    pixels: NDArray[np.uint8] = torch.round(cropped).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def _padded_bands(image: NDArray[np.uint8]) -> Iterator[Band]:
    """An image as `to_padded_tensor` has it."""
    height, width = image.shape[:2]
    whole = padded_size(height)
    for rows in bands_of(whole, LATENT_STRIDE * _latent_rows_at_once(padded_size(width) // LATENT_STRIDE)):
        band = to_tensor(image[None, min(rows.start, height - 1) : rows.stop])  # below it, the last row goes on
        beyond = (0, padded_size(width) - width, 0, rows.stop - rows.start - band.shape[2])
        yield F.pad(band, beyond, mode="replicate"), rows.stop == whole


def _told(bands: Iterator[Band], height: int) -> Iterator[Band]:
    """The bands of a photo so high; whoever listens is told of each."""
    done = 0
    for band, last in bands:
        done += band.shape[2]
        yield band, last
        advanced(Step.ANALYSIS, done / height)


def _latent_rows_at_once(width: int) -> int:
    """Of a latent so wide."""
    return max(1, _PIXELS_AT_ONCE // (LATENT_STRIDE**2 * width))
