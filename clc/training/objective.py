"""What is minimised: R + λ·255²·MSE, or R + λ'·(1 − MS-SSIM) (paper eq. 9).

The entropy bottleneck's usual auxiliary loss is absent: it trains the quantiles that CompressAI builds its tables from,
and the tables of `CompressionModel.freeze` come from the density itself.
"""

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

from clc.model.gain import Quality, lagrangian
from clc.model.network import Reconstruction

MS_SSIM_CROP = 192
"""The smallest crop, a multiple of 64, that five scales of an 11×11 window fit into."""
# Ratio of the λ that CompressAI's published models of one rate were trained with for the two distortions.
_MS_SSIM_WEIGHT = 1280.0
_SMALLEST_MSE = 1e-10
_PHOTO_PIXELS = 768 * 512


class Distortion(StrEnum):
    """How far a reconstruction is from its image."""

    MSE = "mse"
    MS_SSIM = "ms-ssim"


@dataclass(frozen=True)
class Loss:
    """What a batch costs and what that is made of, as one number, or [B] where each crop has a quality of its own.

    mse is None where there is no picture. Nothing here waits for a device but what says so.
    """

    total: Tensor
    bpp: Tensor
    mse: Tensor | None

    @property
    def psnr(self) -> float:
        """dB, of values in [0, 1], the mean over crops; NaN without a picture. Waits for the device."""
        if self.mse is None:
            return math.nan
        return statistics.fmean(-10.0 * math.log10(max(mse, _SMALLEST_MSE)) for mse in self.mse.flatten().tolist())

    @property
    def scalars(self) -> Tensor:
        """Loss, bpp and PSNR as one tensor [3]."""
        mse = torch.full_like(self.bpp, math.nan) if self.mse is None else self.mse
        psnr = -10.0 * torch.log10(mse.clamp(min=_SMALLEST_MSE))
        return torch.stack([self.total.mean(), self.bpp.mean(), psnr.mean()]).detach()


def rate_distortion(result: Reconstruction, image: Tensor, quality: float | Tensor, distortion: Distortion) -> Loss:
    """Of a batch [B, 3, s, s] in [0, 1], at the λ of a quality; the rate alone of a result without a picture.

    quality: of all crops, or [B].
    """
    each = isinstance(quality, Tensor)
    bits = result.latent_bits + result.hyper_bits
    if result.syntax_bits is not None:
        bits = bits + result.syntax_bits * _share_of_photo(image)
    bpp = bits / image[0, 0].numel() if each else bits.sum() / image[:, 0].numel()
    if result.image is None:
        return Loss(bpp, bpp.detach(), None)
    mse = _mse(result.image, image, each)
    penalty = _penalty(result.image, image, distortion, each, mse)
    if result.processed is not None:  # a second picture of the same photo
        processed = _mse(result.processed, image, each)
        penalty = penalty + _penalty(result.processed, image, distortion, each, processed)
    return Loss(bpp + lagrangian(quality) * penalty, bpp.detach(), mse.detach())


def _share_of_photo(crop: Tensor) -> float:
    """What a crop owes of the bits that a photo takes once: its share of a small photo's pixels."""
    return min(1.0, crop[0, 0].numel() / _PHOTO_PIXELS)


def _mse(shown: Tensor, image: Tensor, each: bool) -> Tensor:
    error = (shown - image) ** 2
    return error.mean(dim=(1, 2, 3)) if each else torch.mean(error)


def _penalty(shown: Tensor, image: Tensor, distortion: Distortion, each: bool, mse: Tensor) -> Tensor:
    if distortion is Distortion.MSE:
        return 255.0**2 * mse
    alike: Tensor = ms_ssim(shown.clamp(0.0, 1.0), image, data_range=1.0, size_average=not each)
    return _MS_SSIM_WEIGHT * (1.0 - alike)


def balance(quality: Quality, qualities: tuple[float, float]) -> Quality:
    """What to weigh a loss with, so that all rates of a range count alike; 1 if the range is one λ.

    The optimal quantisation step, and with it the error that gradients are made of, shrinks with the square root of λ:
    left alone, the highest rates would drown the others.
    """
    middle = math.sqrt(lagrangian(qualities[0]) * lagrangian(qualities[1]))
    squared = middle / lagrangian(quality)
    return torch.sqrt(squared) if isinstance(squared, Tensor) else math.sqrt(squared)
