"""Reference latents as integers: what every decoder starts from, the same numbers everywhere."""

import torch
from torch import Tensor

_INT8_LIMIT = 127


def quantise(
    latents: Tensor, exponents: Tensor | None = None, *, finest: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """float [K, C, s, s] → int8 values of the same shape and int32 exponents [C]; value ≈ int · 2^-exponent.

    exponents: use these instead of the finest that hold the largest value of each channel; what exceeds them
    saturates.
    finest: int32 [C], exponents beyond which precision is of no use.
    """
    if exponents is None:
        largest = latents.abs().amax(dim=(0, 2, 3)).clamp(min=2.0**-24)
        # ⌊log2(127 / largest)⌋, without a logarithm, which machines round each in their own way.
        mantissa, exponent = torch.frexp(largest)  # largest = mantissa · 2^exponent, mantissa in [1/2, 1)
        exponents = torch.where(mantissa <= _INT8_LIMIT / 128, 7, 6).int() - exponent
    if finest is not None:
        exponents = torch.minimum(exponents, finest)
    scaled = torch.floor(latents * torch.exp2(exponents.float())[:, None, None] + 0.5)
    return scaled.clamp(-_INT8_LIMIT, _INT8_LIMIT).to(torch.int8), exponents


def dequantise(values: Tensor, exponents: Tensor) -> Tensor:
    """The inverse of `quantise`, for values [..., C, s, s]: float32."""
    return values.float().mul_(torch.exp2(-exponents.float())[:, None, None])
