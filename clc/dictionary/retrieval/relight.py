"""The light in which a reference photo is nearest to an image: the encoder's side of `clc.codec.references.light`.

For each channel, gain and offset are fitted by least squares, weighted anew after each step: what stands out, as things
do that moved, counts little.
"""

import math

import numpy as np
from numpy.typing import NDArray

from clc.codec.decisions.block_costs import costs_after
from clc.codec.references.light import GAIN_STEPS, LEAST_GAIN, MOST_GAIN, MOST_OFFSET, Light

_BIN = 4  # levels that count as one: a sixteenth of the pairs to go through at each step
_BINS = 256 // _BIN
_FROM_THE_MIDDLE = _BIN * np.arange(_BINS) + (_BIN - 1) / 2 - 128.0
_STEPS = 8
_NOISE = 36.0  # as in `clc.codec.decisions.block_costs`
_FLAT = 1.0  # variance of levels that tells nothing of a gain
_HARDLY = 2  # levels, and steps of the gain
_SAVES = 0.1  # of an image's cost, to be worth a trial: the prior copes with a little other light

Costs = NDArray[np.float64]


def in_best_light(image: NDArray[np.uint8], seen: NDArray[np.uint8], alone: Costs) -> tuple[Light | None, Costs]:
    """The light for what is seen of a photo, both uint8 [H, W, 3], and the cost of the image's blocks in it.

    alone: their cost without it. None where that saves too little.
    """
    cost = costs_after(image, seen)
    light = find_light(image, seen)
    if light is None:
        return None, cost
    lit = costs_after(image, light.on(seen))
    if np.minimum(lit, alone).sum() > (1 - _SAVES) * np.minimum(cost, alone).sum():
        return None, cost
    return light, lit


def find_light(image: NDArray[np.uint8], seen: NDArray[np.uint8]) -> Light | None:
    """What brings what is seen of a photo nearest to an image, both uint8 [H, W, 3]; None if it is hardly other."""
    gains, offsets = [], []
    for channel in range(3):
        pairs = (seen[..., channel] // _BIN).astype(np.int64) * _BINS + image[..., channel] // _BIN
        gain, offset = _fitted(np.bincount(pairs.ravel(), minlength=_BINS**2).reshape(_BINS, _BINS))
        gains.append(int(np.clip(np.rint(gain * GAIN_STEPS), LEAST_GAIN, MOST_GAIN)))
        offsets.append(int(np.clip(np.rint(offset), -MOST_OFFSET, MOST_OFFSET)))
    if max(abs(gain - GAIN_STEPS) for gain in gains) <= _HARDLY and max(map(abs, offsets)) <= _HARDLY:
        return None
    return Light((gains[0], gains[1], gains[2]), (offsets[0], offsets[1], offsets[2]))


def _fitted(pairs: NDArray[np.int64]) -> tuple[float, float]:
    """Gain and offset of pairs [seen, image], counted by their bins; both levels count from the middle."""
    levels = _FROM_THE_MIDDLE
    gain, offset = _moments(pairs)
    for _ in range(_STEPS):
        missing = levels - (gain * levels + offset)[:, None]
        weight = pairs / (_NOISE + missing**2)
        total = weight.sum()
        before, after = float(weight.sum(axis=1) @ levels / total), float(weight.sum(axis=0) @ levels / total)
        variance = float(weight.sum(axis=1) @ (levels - before) ** 2 / total)
        if variance < _FLAT:
            return 1.0, after - before
        gain = float((levels - before) @ weight @ (levels - after) / total) / variance
        offset = after - gain * before
    return gain, offset


def _moments(pairs: NDArray[np.int64]) -> tuple[float, float]:
    """What brings mean and spread of the levels into line: a start that things which moved hardly change."""
    levels = _FROM_THE_MIDDLE
    before, after = pairs.sum(axis=1), pairs.sum(axis=0)
    means = [float(each @ levels / each.sum()) for each in (before, after)]
    of, to = (
        float(each @ (levels - mean) ** 2 / each.sum()) for each, mean in zip((before, after), means, strict=True)
    )
    gain = 1.0 if of < _FLAT else math.sqrt(to / of)
    return gain, means[1] - gain * means[0]
