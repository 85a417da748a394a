"""PSNR of 8-bit pictures: what a target asks for, and what evaluation measures."""

import math

import numpy as np
from numpy.typing import NDArray

_PEAK = 255


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 [H, W, 3] images, 10·log10(255² / MSE).

    The mean squared error is over all pixels and the three channels at once, not per channel. Identical images have
    inf. Raises ValueError if the images differ in shape or are not 8 bit.
    """
    check_comparable(a, b)
    return psnr_of_error(float(np.mean(np.square(a.astype(np.float64) - b))))


def psnr_of_error(squared_error: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit values; no error has inf.

    >>> psnr_of_error(squared_error(30.0))
    30.0
    """
    return math.inf if squared_error == 0.0 else 10.0 * math.log10(_PEAK**2 / squared_error)


def squared_error(psnr: float) -> float:
    """The mean squared error of 8-bit values that has this PSNR in dB."""
    return float(_PEAK**2 * 10.0 ** (-psnr / 10.0))


def check_comparable(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """Raises ValueError if two images differ in shape or are not 8 bit."""
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"cannot compare {a.dtype} {a.shape} with {b.dtype} {b.shape}; both must be uint8 [H, W, 3]")
