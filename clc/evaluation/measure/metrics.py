"""What is measured of one coded image beside PSNR: its rate in bits per pixel, and MS-SSIM of what comes back."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.images.psnr import check_comparable

_PEAK = 255
_MS_SSIM_SIDE = 160  # five scales of an 11-pixel window: (11 - 1) · 2⁴


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003) of two uint8 [H, W, 3] images, in [0, 1].

    Five scales with the published weights, per channel of RGB, then the mean. An image whose smaller side has 160
    pixels or fewer cannot carry five scales: the answer is nan. Raises ValueError if the images differ in
    shape or are not 8 bit.
    """
    check_comparable(a, b)
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


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
