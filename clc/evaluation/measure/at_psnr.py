"""What a codec takes for a photo at a PSNR that another codec has reached."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clc.images.psnr import psnr

_WORST, _BEST = 1, 99


def at_psnr(
    code: Callable[[int], tuple[int, NDArray[np.uint8]]], photo: NDArray[np.uint8], decibels: float
) -> float | None:
    """Bytes at a PSNR in dB, interpolated in log bytes between neighbouring qualities, which bisection finds.

    code: quality, 1 to 99 → bytes of the file, and what is decoded from it, uint8 [H, W, 3].
    If the worst quality is better than asked for, its bytes; None if the best is worse. Raises what `code` raises.
    """
    known: dict[int, tuple[int, float]] = {}

    def at(quality: int) -> tuple[int, float]:
        if quality not in known:
            size, shown = code(quality)
            known[quality] = size, psnr(photo, shown)
        return known[quality]

    low, high = _WORST, _BEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle)[1] < decibels else (low, middle)
    (small, worse), (large, better) = at(low), at(high)
    if better < decibels:
        return None
    if not worse < better < math.inf:
        return float(small if worse >= decibels else large)
    share = max((decibels - worse) / (better - worse), 0.0)
    return math.exp((1 - share) * math.log(small) + share * math.log(large))
