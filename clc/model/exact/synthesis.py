"""From the decoded latent to pixels that are the same on every machine: for pictures that streams refer to.

What `CompressionModel.refine` and g_s do in floating point, with the weights that a model file has, on dyadic numbers
(see `convolution`): prediction of the latent residual, inverse gain, g_s, rounding to pixels. An ordinary decoder is
faster. What it shows differs by a level here and there, which is good enough unless something refers to it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.errors import ProfileError
from clc.model.exact.bands import EXPONENT, LARGEST, Band, ExactBlock, ExactLayer, Rows, Shuffle, rectified, snapped
from clc.model.exact.convolution import FINEST_INPUT_EXPONENT, LARGEST_INPUT, snap_
from clc.model.exact.tanh import INPUT_EXPONENT as TANH_EXPONENT
from clc.model.exact.tanh import LARGEST_INPUT as LARGEST_TANH
from clc.model.exact.tanh import half_tanh
from clc.model.network import CompressionModel
from clc.model.tiles import LATENT_STRIDE
from clc.model.transforms.convolutional import ConvolutionalSynthesis, ResidualBlock

_BAND_BYTES = 2**23  # latent values of one band
_REMEMBERED_QUALITIES = 8  # their decimal exponentials take milliseconds


class ExactSynthesis:
    """A decoded latent and what refines it → pixels, on the CPU.

    model: frozen; g_s and the prediction of the residual are copied.
    Raises ProfileError for a model whose g_s is not convolutional or needs references, ValueError for one that is not
    frozen, and if sums might not be exact with its weights.
    """

    def __init__(self, model: CompressionModel) -> None:
        if not model.frozen:
            raise ValueError("exact synthesis needs a frozen model; call model.freeze() first")
        if not isinstance(model.g_s, ConvolutionalSynthesis):
            raise ProfileError(
                "pictures are decoded exactly by convolutional transforms only; use a model that has them"
            )
        if model.config.learns_references and model.config.conditioning.synthesises:
            raise ProfileError("g_s of this model needs the references it learned; use a model that codes without any")
        self._refinement = _Refinement(model)
        *layers, stem, shuffle = model.g_s.layers
        assert isinstance(shuffle, nn.PixelShuffle)
        assert isinstance(stem, nn.Conv2d)
        self._fold = shuffle.upscale_factor
        self._layers: list[ExactLayer | ExactBlock | Shuffle] = []
        largest = LARGEST  # bound of a layer's inputs
        for layer in layers:
            if isinstance(layer, ResidualBlock):
                self._layers.append(ExactBlock(layer))
                largest += LARGEST
            elif isinstance(layer, nn.PixelShuffle):
                self._layers.append(Shuffle(layer))
            else:
                assert isinstance(layer, nn.Conv2d)
                self._layers.append(ExactLayer(layer, largest, EXPONENT))
                largest = LARGEST
        self._stem = ExactLayer(stem, largest, EXPONENT)

    @torch.inference_mode()
    def __call__(
        self, decoded: Tensor, features: Tensor, quality: float, size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures uint8 [B, H, W, 3] of one quality.

        decoded: ŷ float64 [B, C, h, w], in quantisation steps; features: those of ẑ, float64 [B, F, h, w].
        size: H and W, if less than 16h and 16w.
        """
        decoded, features = decoded.cpu(), features.cpu()
        whole = LATENT_STRIDE * decoded.shape[2]
        height, width = size or (whole, LATENT_STRIDE * decoded.shape[3])
        pixels = np.empty((len(decoded), height, width, 3), dtype=np.uint8)
        latent_row = decoded[:, :, 0].numel() * decoded.element_size()
        step = LATENT_STRIDE * max(1, _BAND_BYTES // latent_row)
        for top in range(0, height, step):
            rows = Rows(top, min(top + step, height), whole)
            band = self._synthesised(decoded, features, quality, rows.reduced(self._fold))
            shown = _pixels(band.values, self._fold)
            pixels[:, rows.top : rows.bottom] = shown[:, : rows.bottom - rows.top, :width]
        return pixels

    def _synthesised(self, decoded: Tensor, features: Tensor, quality: float, wanted: Rows) -> Band:
        """Blocks of pixels [B, 3·fold², rows, W / fold]: these rows of what the stem gives."""
        needed = self._stem.needs(wanted)
        for layer in reversed(self._layers):
            needed = layer.needs(needed)
        band = self._refinement(decoded, features, quality, needed)
        for layer in self._layers:
            band = layer(band)
            if isinstance(layer, ExactLayer):
                band = snapped(band)
        band = self._stem(band)
        return Band(band.cut(wanted), wanted)


@dataclass(frozen=True)
class _Scales:
    """Scales of the latent's channels at one quality, float64 [1, C, 1, 1]."""

    spread: Tensor
    inverse_gain: Tensor


class _Refinement:
    """Prediction of the latent residual, and inverse gain: `CompressionModel.refine`."""

    def __init__(self, model: CompressionModel) -> None:
        self._model = model
        first, _, last = model.residual
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        self._first = ExactLayer(first, LARGEST_INPUT, FINEST_INPUT_EXPONENT)
        self._last = ExactLayer(last, LARGEST, EXPONENT)
        self._scales = lru_cache(_REMEMBERED_QUALITIES)(self._scales_at)

    def _scales_at(self, quality: float) -> _Scales:
        gain = self._model.gain
        return _Scales(self._model.prior.scale.spread(gain.exact_rate(quality)).cpu(), gain.exact_inverse_gain(quality))

    def __call__(self, decoded: Tensor, features: Tensor, quality: float, wanted: Rows) -> Band:
        """ŷ_f [B, C, rows, w]."""
        scales = self._scales(quality)
        whole = Rows(0, decoded.shape[2], decoded.shape[2])
        needed = self._first.needs(wanted)
        seen = Band(decoded, whole).cut(needed)
        normalised = self._model.prior.scale.normalised(seen, scales.spread)
        known = Band(torch.cat([normalised, Band(features, whole).cut(needed)], dim=1), needed)
        predicted = self._last(rectified(snapped(self._first(known))))
        snap_(predicted.values, TANH_EXPONENT, largest=LARGEST_TANH * 2**TANH_EXPONENT)
        refined = half_tanh(predicted.values).add_(Band(decoded, whole).cut(predicted.rows))
        return snapped(Band(refined.mul_(scales.inverse_gain), predicted.rows))


def _pixels(blocks: Tensor, fold: int) -> NDArray[np.uint8]:
    """What the stem gives, float64 [B, 3·fold², h, w] → uint8 [B, h·fold, w·fold, 3]. Changes its input."""
    levels = blocks.add_(0.5).clamp_(0.0, 1.0).mul_(255.0).add_(0.5).to(torch.uint8)  # 255.5 is cut to 255
    batch, _, rows, columns = levels.shape
    ordered = levels.view(batch, 3, fold, fold, rows, columns).permute(0, 4, 2, 5, 3, 1)
    pixels: NDArray[np.uint8] = ordered.reshape(batch, rows * fold, columns * fold, 3).numpy()
    return pixels
