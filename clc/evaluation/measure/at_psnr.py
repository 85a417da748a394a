"""What a codec takes for a photo at a PSNR that another codec has reached."""

import math
from collections.abc import Callable


def at_psnr(
    measure: Callable[[int], tuple[int, float]], decibels: float, *, worst: int = 1, best: int = 99
) -> float | None:
    """Bytes at a PSNR in dB, interpolated in log bytes between neighbouring qualities, which bisection finds.

    measure: a quality → bytes, and dB of what is decoded from them. worst, best: its ends; smaller may be better.
    If the worst quality is better than asked for, its bytes; None if the best is worse. Raises what `measure` raises.
    """
    known: dict[int, tuple[int, float]] = {}

    def at(quality: int) -> tuple[int, float]:
        if quality not in known:
            known[quality] = measure(quality)
        return known[quality]

    low, high = worst, best
    while abs(high - low) > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle)[1] < decibels else (low, middle)
    (small, worse), (large, better) = at(low), at(high)
    if better < decibels:
        return None
    if not worse < better < math.inf:
        return float(small if worse >= decibels else large)
    share = max((decibels - worse) / (better - worse), 0.0)
    return math.exp((1 - share) * math.log(small) + share * math.log(large))
