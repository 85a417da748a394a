"""What is measured of one coded image: its rate in bits per pixel, and PSNR and MS-SSIM of what comes back."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PEAK = 255
_MS_SSIM_SIDE = 160  # five scales of an 11-pixel window: (11 - 1) · 2⁴


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 [H, W, 3] images, 10·log10(255² / MSE).

    The mean squared error is over all pixels and the three channels at once, not per channel. Identical images have
    inf. Raises ValueError if the images differ in shape or are not 8 bit.
    """
    _check_pair(a, b)
    return psnr_of_error(float(np.mean(np.square(a.astype(np.float64) - b))))


def psnr_of_error(squared_error: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit values; no error has inf.

    >>> psnr_of_error(squared_error(30.0))
    30.0
    """
    return math.inf if squared_error == 0.0 else 10.0 * math.log10(_PEAK**2 / squared_error)


def squared_error(psnr: float) -> float:
    """The mean squared error that has this PSNR."""
    return float(_PEAK**2 * 10.0 ** (-psnr / 10.0))


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003) of two uint8 [H, W, 3] images, in [0, 1].

    Five scales with the published weights, per channel of RGB, then the mean. An image whose smaller side has 160
    pixels or fewer cannot carry five scales: the answer is nan. Raises ValueError as `psnr` does.
    """
    _check_pair(a, b)
    if min(a.shape[:2]) <= _MS_SSIM_SIDE:
        return math.nan
    from pytorch_msssim import ms_ssim as torch_ms_ssim  # which a machine that only codes does not need

    with torch.inference_mode():
        return float(torch_ms_ssim(_to_tensor(a), _to_tensor(b), data_range=_PEAK))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on a decibel scale, -10·log10(1 - value), as the literature plots it; 1 has inf, nan stays nan."""
    return math.inf if value >= 1.0 else -10.0 * math.log10(1.0 - value)


def bits_per_pixel(size_bytes: int, height: int, width: int) -> float:
    """Rate of a file of `size_bytes` for an image of height × width pixels."""
    return 8.0 * size_bytes / (height * width)


def _check_pair(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"cannot compare {a.dtype} {a.shape} with {b.dtype} {b.shape}; both must be uint8 [H, W, 3]")


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
