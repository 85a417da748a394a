"""What a model configuration costs: parameters, and multiply-accumulate operations (MAC) per pixel, by counting.

A codec's steps are run on tensors without content, and every operation that PyTorch carries out is counted: those of
convolutions (deformable ones included, without their interpolation), matrix products and attention.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from clc.model.config import ModelConfig
from clc.model.network import CompressionModel
from clc.model.tiles import IMAGE_MULTIPLE, LATENT_STRIDE, LATENT_TILE

_SIDE = 512  # pixels; large enough that the border counts for little
_QUALITY = 50.0  # costs the same as any other


@dataclass(frozen=True)
class Complexity:
    """Parameters of the whole model, and MAC per pixel of each direction.

    Encoding includes the prior, which both directions evaluate, but not the search for references; references come as
    stored latents, so they add matching and fusion only.
    """

    parameters: int
    encoder: float
    encoder_with_references: float
    decoder: float
    decoder_with_references: float


def complexity(config: ModelConfig) -> Complexity:
    """Count on an image of 512×512 pixels, four tiles."""
    # Its first weights are computed, so the model is built before it is stripped of its content.
    model = CompressionModel(config).eval().to("meta")
    latent_shape = (config.transform.latent_channels, LATENT_TILE, LATENT_TILE)
    tiles = (_SIDE // (LATENT_TILE * LATENT_STRIDE)) ** 2
    references = torch.empty(tiles, config.references, *latent_shape, device="meta")
    return Complexity(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        encoder=_encoder(model, None),
        encoder_with_references=_encoder(model, references),
        decoder=_decoder(model, None),
        decoder_with_references=_decoder(model, references),
    )


@torch.no_grad()
def _encoder(model: CompressionModel, references: Tensor | None) -> float:
    image = torch.empty(1, 3, _SIDE, _SIDE, device="meta")
    with _counting() as counter:
        latent = model.condition(model.g_a(image), references) * model.gain.gain(_QUALITY)
        _decode(model, model.hyper_latent(latent, _QUALITY, references), references)
        model.syntax_numbers(latent, _QUALITY)
    return _mac_per_pixel(counter)


@torch.no_grad()
def _decoder(model: CompressionModel, references: Tensor | None) -> float:
    side = _SIDE // IMAGE_MULTIPLE
    z_hat = torch.empty(1, model.config.prior.hyper_channels, side, side, device="meta")
    with _counting() as counter:
        features, decoded = _decode(model, z_hat, references)
        restored = model.condition(model.refine(decoded, features, _QUALITY), references)
        own = model.config.syntax
        model.synthesise(restored, syntax=None if own is None else torch.empty(1, own.numbers, device="meta"))
    return _mac_per_pixel(counter)


def _decode(model: CompressionModel, z_hat: Tensor, references: Tensor | None) -> tuple[Tensor, Tensor]:
    """Hyper features and decoded latent: what encoder and decoder both compute."""
    rate = model.gain.rate(_QUALITY)
    features = model.prior.features(z_hat, rate)
    return features, model.decode(features, rate, lambda block, mean, level: mean, references)


def _counting() -> FlopCounterMode:
    return FlopCounterMode(display=False)


def _mac_per_pixel(counter: FlopCounterMode) -> float:
    return counter.get_total_flops() / 2 / _SIDE**2
