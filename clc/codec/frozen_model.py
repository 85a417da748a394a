"""A frozen model as encoder and decoder run it: fused for inference, with its rates and coders at hand."""

from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.codec.entropy import TableCoder
from clc.codec.linear import LinearCoder
from clc.codec.references.protocols import UsedReferences
from clc.model.conditioning.fusion import Features
from clc.model.gain import Rate
from clc.model.network import CompressionModel
from clc.model.tiles import to_padded_tensor
from clc.model.transforms.convolutional import LatentResidual, for_inference

_REMEMBERED_RATES = 32


class FrozenModel:
    """The network, and what codes the symbols that it makes. The model may still be moved to another device.

    model_id: what streams call it. hyper_tables, latent_tables: coders of ẑ and of ŷ; linear: of blocks.
    Raises ValueError for a model that is not frozen.
    """

    def __init__(self, model: CompressionModel, model_id: str) -> None:
        if not model.frozen:
            raise ValueError("a codec needs a frozen model; call model.freeze() first")
        model.use_channels_last()
        self.model = model
        self.model_id = model_id
        self.hyper_tables = TableCoder(model.hyper_tables)
        self.latent_tables = TableCoder(model.latent_tables)
        self.linear = LinearCoder(model.latent_tables)
        # A decimal exponential a channel takes milliseconds, and most files of a collection have one quality.
        self._rate = lru_cache(_REMEMBERED_RATES)(lambda quality, device: model.gain.exact_rate(quality))

    @property
    def device(self) -> torch.device:
        """Where the model is; symbols and bytes are always on the CPU."""
        return self.model.device

    def rate(self, quality: float) -> Rate:
        """Gains and scale levels of a quality, the same numbers on every machine."""
        rate: Rate = self._rate(quality, self.device)
        return rate

    def analyse(self, image: NDArray[np.uint8], features: Features | None = None) -> Tensor:
        """uint8 [H, W, 3] → y [1, C, h, w], of the image padded to whole tiles of the latent.

        features: of references, which g_a is fused with.
        """
        return self.model.analyse(to_padded_tensor(image[None]).to(self.device), features, self._g_a)

    def condition(self, latent: Tensor, references: Tensor | None) -> Tensor:
        """A latent [1, C, h, w], matched and fused with references [T, M, C, 16, 16] of its tiles, if there are any."""
        return self.model.condition(latent, references)

    def synthesise(
        self, decoded: Tensor, features: Tensor, quality: float, references: UsedReferences, size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Everything after the last symbol: ŷ and the hyper features of ẑ → the picture, uint8 [H, W, 3] of `size`."""
        # In one layout, whoever made them: which kernel runs, and with it how it rounds, depends on that.
        decoded, features = (each.to(torch.float32, memory_format=torch.channels_last) for each in (decoded, features))
        refined = self.model.refine(decoded, features, quality, self._residual)
        restored = self.condition(refined, references.latents)
        return _pixels(self.model.synthesise(restored, references.features, self._g_s), *size)

    @cached_property
    def _g_a(self) -> nn.Module:
        return for_inference(self.model.g_a)  # once the model is where it stays

    @cached_property
    def _g_s(self) -> nn.Module:
        return for_inference(self.model.g_s)

    @cached_property
    def _residual(self) -> LatentResidual:
        return for_inference(self.model.residual)


def _pixels(image: Tensor, height: int, width: int) -> NDArray[np.uint8]:
    """[1, 3, H', W'], padded and not clamped → uint8 [height, width, 3]."""
    cropped = image[0, :, :height, :width].clamp(0.0, 1.0) * 255.0
    pixels: NDArray[np.uint8] = torch.round(cropped).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
