"""How the filter learns: it lowers the error of each picture by as many decibels as it can."""

import copy
import logging
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clc.codec.references.blend_network import BlendNetwork
from clc.training.blend.examples import Examples

logger = logging.getLogger(__name__)

_CROP, _CROPS = 128, 2  # pixels, and crops of each example of a batch
_RATE, _WARM_UP = 2e-3, 100
_AVERAGE = 0.998
_LEAST = 0.5  # squared error that is not worth lowering
_LOG_EVERY = 60.0  # seconds
_DECIBELS = 10.0 / math.log(10.0)


def learn(batches: Sequence[Examples], steps: int, seed: int = 0) -> BlendNetwork:
    """The moving average of the weights after `steps` steps, each on one of the batches.

    `gain` in the log is by how many decibels the error of a crop falls, on average since the line before.
    """
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network = BlendNetwork()
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-4)
    said, gains = time.monotonic(), []
    for step in range(steps):
        rate = _RATE * min(1.0, (step + 1) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(network, _crops(batches[int(draw.integers(len(batches)))], draw))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        kept = min(_AVERAGE, step / (step + 10))
        with torch.no_grad():
            for mean, own in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(own, 1 - kept)
        gains.append(-_DECIBELS * loss.item())
        if time.monotonic() - said > _LOG_EVERY:
            logger.info("step=%d gain=%.3f dB", step + 1, np.mean(gains))
            said, gains = time.monotonic(), []
    return average


def loss_of(network: BlendNetwork, batch: Examples) -> Tensor:
    """The mean of ln(error after / error before)."""
    photos, shown, views = (pixels.movedim(-1, -3).float() for pixels in (batch.photos, batch.shown, batch.views))
    after = (network(shown, views, batch.qualities) - photos).square().mean(dim=(1, 2, 3))
    before = (shown - photos).square().mean(dim=(1, 2, 3))
    return ((after + _LEAST) / (before + _LEAST)).log().mean()


def _crops(batch: Examples, draw: np.random.Generator) -> Examples:
    last = batch.photos.shape[1] - _CROP
    places = [(n, *draw.integers(last + 1, size=2)) for n in range(len(batch.photos)) for _ in range(_CROPS)]

    def of(pixels: Tensor) -> Tensor:
        return torch.stack([pixels[n, ..., y : y + _CROP, x : x + _CROP, :] for n, y, x in places])

    qualities = torch.stack([batch.qualities[n] for n, _, _ in places])
    return Examples(of(batch.photos), of(batch.shown), of(batch.views), qualities)
