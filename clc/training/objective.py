"""What is minimised: R + λ·255²·MSE, or R + λ'·(1 − MS-SSIM) (paper eq. 9).

The entropy bottleneck's usual auxiliary loss is absent: it trains the quantiles that CompressAI builds its tables from,
and the tables of `CompressionModel.freeze` come from the density itself.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

from clc.model.gain import lagrangian
from clc.model.network import Reconstruction

MS_SSIM_CROP = 192
"""The smallest crop, a multiple of 64, that five scales of an 11×11 window fit into."""
# Ratio of the λ that CompressAI's published models of one rate were trained with for the two distortions.
_MS_SSIM_WEIGHT = 1280.0


class Distortion(StrEnum):
    """How far a reconstruction is from its image."""

    MSE = "mse"
    MS_SSIM = "ms-ssim"


@dataclass(frozen=True)
class Loss:
    """A batch's loss, differentiable, with what it is made of; mse is NaN where there is no picture."""

    total: Tensor
    bpp: float
    mse: float

    @property
    def psnr(self) -> float:
        """dB, of values in [0, 1]."""
        return -10.0 * math.log10(max(self.mse, 1e-10))  # NaN stays NaN


def rate_distortion(result: Reconstruction, image: Tensor, quality: float, distortion: Distortion) -> Loss:
    """Of a batch [B, 3, s, s] in [0, 1], at the λ of a quality; the rate alone of a result without a picture."""
    bpp = (result.latent_bits + result.hyper_bits).sum() / image[:, 0].numel()
    if result.image is None:
        return Loss(bpp, bpp.item(), math.nan)
    mse = torch.mean((result.image - image) ** 2)
    if distortion is Distortion.MSE:
        penalty = 255.0**2 * mse
    else:
        penalty = _MS_SSIM_WEIGHT * (1.0 - ms_ssim(result.image.clamp(0.0, 1.0), image, data_range=1.0))
    return Loss(bpp + lagrangian(quality) * penalty, bpp.item(), mse.item())


def balance(quality: float, qualities: tuple[float, float]) -> float:
    """What to weigh a batch's loss with, so that all rates of a range count alike; 1 if the range is one λ.

    The optimal quantisation step, and with it the error that gradients are made of, shrinks with the square root of λ:
    left alone, the highest rates would drown the others.
    """
    middle = math.sqrt(lagrangian(qualities[0]) * lagrangian(qualities[1]))
    return math.sqrt(middle / lagrangian(quality))
