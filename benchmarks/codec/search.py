"""Inputs that the network codes as badly as can be: gradient ascent, through its transforms, on the worst block."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clc.images.patterns import PATTERNS, draw_pattern, mixed_with
from clc.model.network import CompressionModel
from clc.model.priors.likelihood import round_half_up
from clc.model.tiles import to_tensor

SIZE = 128
"""Pixels along each side."""
_TOGETHER = 16
_STEPS = 12
_LARGEST_STEP = 24.0  # levels of 255, halved now and then
_BLOCK = 16


def searched_pictures(
    model: CompressionModel, photos: Sequence[NDArray[np.uint8]], count: int, seed: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """`count` pictures uint8 [SIZE, SIZE, 3]: half of them start from a pattern, half from one over a photo."""
    generator = np.random.default_rng(seed)
    names = list(PATTERNS)
    for start in range(0, count, _TOGETHER):
        pictures = []
        for number in range(start, min(count, start + _TOGETHER)):
            pattern = draw_pattern(names[number // 2 % len(names)], generator, SIZE)
            pictures.append(mixed_with(_crop(photos, generator), pattern, generator) if number % 2 else pattern)
        yield from _ascended(model, np.stack(pictures), float(generator.uniform(10, 100)))


def _crop(photos: Sequence[NDArray[np.uint8]], generator: np.random.Generator) -> NDArray[np.uint8]:
    photo = photos[generator.integers(len(photos))]
    y, x = (generator.integers(side - SIZE + 1) for side in photo.shape[:2])
    return photo[y : y + SIZE, x : x + SIZE]


def _ascended(model: CompressionModel, pictures: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    image = to_tensor(pictures)
    for step in range(_STEPS):
        image = image.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(_worst_blocks(model, image, quality).sum(), image)
        reach = _LARGEST_STEP / 255.0 * 0.5 ** (3 * step // _STEPS)
        image = (image.detach() + reach * gradient.sign()).clamp(0.0, 1.0)
    moved = torch.round(image * 255.0).to(torch.uint8).permute(0, 2, 3, 1)
    return moved.contiguous().numpy()


def _worst_blocks(model: CompressionModel, image: Tensor, quality: float) -> Tensor:
    """The largest mean squared error of a block of each picture [B], without the prior: rounding, then g_s."""
    gain = model.gain
    rounded = round_half_up(model.g_a(image) * gain.gain(quality)) * gain.inverse_gain(quality)
    errors = F.avg_pool2d((model.g_s(rounded).clamp(0.0, 1.0) - image).square().mean(dim=1, keepdim=True), _BLOCK)
    return errors.flatten(1).amax(dim=1)
