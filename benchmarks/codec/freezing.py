"""A model before and after it is frozen, in one memory: what a store never holds."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from clc.model.config import Conditioning, ModelConfig
from clc.model.gain import QUALITY_MAX, QUALITY_MIN, lagrangian
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.tiles import TILE_SIZE, to_tensor

_BATCH, _CROP = 8, 128
_LEARNING_RATE = 1e-3
_GRADIENT_CLIP = 0.5
_CALIBRATION_QUALITIES = 12


def train_briefly(config: ModelConfig, photos: list[NDArray[np.uint8]], steps: int) -> CompressionModel:
    """A model of this shape after `steps` steps on crops of the photos, without references; not frozen."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    model = CompressionModel(config.model_copy(update={"conditioning": Conditioning.NONE}))
    optimiser = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
    for _ in range(steps):
        image = to_tensor(np.stack([_crop(photos, _CROP, generator) for _ in range(_BATCH)]))
        quality = float(generator.uniform(QUALITY_MIN, QUALITY_MAX))
        result = model(image, None, quality)
        bits = (result.latent_bits + result.hyper_bits).sum() / image[:, 0].numel()
        loss = bits + lagrangian(quality) * 255.0**2 * torch.mean((result.image - image) ** 2)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _GRADIENT_CLIP)
        optimiser.step()
    return model.eval()


def frozen_copy(model: CompressionModel, photos: list[NDArray[np.uint8]]) -> CompressionModel:
    """The same model, frozen; calibrated on tiles of the photos over all qualities."""
    generator = np.random.default_rng(1)
    frozen = copy.deepcopy(model)
    frozen.freeze(
        CalibrationCrop(to_tensor(_crop(photos, TILE_SIZE, generator)[None]), None, float(quality))
        for quality in np.repeat(np.linspace(QUALITY_MIN, QUALITY_MAX, _CALIBRATION_QUALITIES), _BATCH)
    )
    return frozen


def in_floating_point(model: CompressionModel) -> CompressionModel:
    """A copy of a frozen model that evaluates its weights without rounding in between; they stay 16-bit numbers."""
    floating = copy.deepcopy(model)
    floating.prior.float()
    for layer in floating.prior.exact_layers():
        layer.frozen = False
    return floating


def _crop(photos: list[NDArray[np.uint8]], size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    photo = photos[generator.integers(len(photos))]
    top, left = (generator.integers(length - size + 1) for length in photo.shape[:2])
    return photo[top : top + size, left : left + size]
