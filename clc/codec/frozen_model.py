"""A frozen model as encoder and decoder run it: fused for inference, with its rates and coders at hand."""

from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clc.codec.banded_model import BANDED_FROM, BandedModel, takes_bands, to_pixels
from clc.codec.entropy import TableCoder
from clc.codec.latent_coder import LatentCoder
from clc.codec.linear import LinearCoder
from clc.codec.references.protocols import UsedReferences
from clc.codec.scaled_latent import ScaledLatent
from clc.codec.syntax_coder import SyntaxCoder
from clc.model.conditioning.fusion import Features
from clc.model.gain import Rate
from clc.model.network import CompressionModel
from clc.model.tiles import IMAGE_MULTIPLE, LATENT_STRIDE, padded_size, to_padded_tensor
from clc.model.transforms.convolutional import LatentResidual, for_inference

_REMEMBERED_RATES = 32


class FrozenModel:
    """The network, and what codes the symbols that it makes. The model may still be moved to another device.

    model_id: what streams call it. hyper_tables, latent_tables: coders of ẑ and of ŷ; linear: of blocks; syntax: of
    the syntax, None for a model without one.
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
        self.syntax = None if model.syntax is None else SyntaxCoder(self.latent_tables)
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

    def latent_coder(self, *, omits: bool = False) -> LatentCoder:
        """What codes blocks of ŷ. omits: as `LatentCoder` has it."""
        return LatentCoder(self.latent_tables, omits)

    def analyse(self, image: NDArray[np.uint8], features: Features | None = None) -> Tensor:
        """uint8 [H, W, 3] → y [1, C, h, w], of the image padded to whole tiles of the latent.

        features: of references, which g_a is fused with.
        """
        if features is None and self.in_bands(*map(padded_size, image.shape[:2])):
            return self._bands.analyse(image)
        return self.model.analyse(to_padded_tensor(image[None]).to(self.device), features, self._g_a)

    def in_bands(self, height: int, width: int) -> bool:
        """Whether photos of that size, padded, are coded band by band."""
        return height * width >= BANDED_FROM and takes_bands(self.model)

    def hyper_latent(self, scaled: ScaledLatent, quality: float, references: UsedReferences) -> Tensor:
        """h_a: z [1, N, h/4, w/4], not rounded."""
        if self.in_bands(*_pixels_of(scaled.latent)):
            return self._bands.hyper_latent(scaled, quality, self.model.prior_references(references.latents))
        return self.model.hyper_latent(scaled.rows(), quality, references.latents)

    def features(self, z_hat: Tensor, rate: Rate) -> Tensor:
        """Hyper features [1, F, h, w] of ẑ: float64, or float32, which holds them exactly, of a photo in bands."""
        if self.in_bands(*(IMAGE_MULTIPLE * side for side in z_hat.shape[2:])):
            return self._bands.features(z_hat, rate)
        return self.model.prior.features(z_hat, rate)

    def condition(self, latent: Tensor, references: Tensor | None) -> Tensor:
        """A latent [1, C, h, w], matched and fused with references [T, M, C, 16, 16] of its tiles, if there are any."""
        return self.model.condition(latent, references)

    def synthesise(
        self,
        decoded: Tensor,
        features: Tensor,
        quality: float,
        references: UsedReferences,
        size: tuple[int, int],
        syntax: Tensor | None = None,
        post: bool = False,
    ) -> NDArray[np.uint8]:
        """Everything after the last symbol: ŷ and the hyper features of ẑ → the picture, uint8 [H, W, 3] of `size`.

        syntax: the numbers [1, n] of a stream that has some. post: with post-processing, of a model that has it.
        """
        if self.in_bands(*_pixels_of(decoded)):
            return self._bands.synthesise(decoded, features, quality, size)
        # In one layout, whoever made them: which kernel runs, and with it how it rounds, depends on that.
        decoded, features = (each.to(torch.float32, memory_format=torch.channels_last) for each in (decoded, features))
        refined = self.model.refine(decoded, features, quality, self._residual)
        restored = self.condition(refined, references.latents)
        shown = self.model.synthesise(restored, references.features, self._g_s, syntax)
        return to_pixels(self._processed(shown, syntax) if post else shown, *size)

    def _processed(self, shown: Tensor, syntax: Tensor | None) -> Tensor:
        own = self.model.syntax
        assert own is not None, "asked for of models that have it"
        assert own.post is not None, "likewise"
        numbers = shown.new_zeros(1, own.config.numbers) if syntax is None else syntax.to(shown)
        processed: Tensor = own.post(shown, numbers)
        return processed

    @cached_property
    def _bands(self) -> BandedModel:
        return BandedModel(self.model, self._g_a, self._g_s, self._residual)

    @cached_property
    def _g_a(self) -> nn.Module:
        return for_inference(self.model.g_a)  # once the model is where it stays

    @cached_property
    def _g_s(self) -> nn.Module:
        return for_inference(self.model.g_s)

    @cached_property
    def _residual(self) -> LatentResidual:
        return for_inference(self.model.residual)


def _pixels_of(latent: Tensor) -> tuple[int, int]:
    """Height and width of the padded photo that a latent is of."""
    return LATENT_STRIDE * latent.shape[2], LATENT_STRIDE * latent.shape[3]
