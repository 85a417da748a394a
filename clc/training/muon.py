"""Muon: momentum whose matrices are made orthogonal before each step.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): Nesterov momentum, then five steps of a
quintic Newton-Schulz iteration. The update is scaled to the size that Adam's usually has, so that both share a learning
rate: Liu et al., "Muon is Scalable for LLM Training" (2025), eq. 4.
PyTorch's own takes matrices only; this one also takes convolutions, and orthogonalises those of one shape together.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAMS_SIZE = 0.2  # root mean square of a usual update of Adam, in learning rates


def orthogonalised(matrices: Tensor) -> Tensor:
    """About U·Vᵀ of each U·S·Vᵀ in [n, a, b]: float32, with singular values between about 0.7 and 1.2.

    In bfloat16 on a GPU, as published, in float32 on a CPU.
    """
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).to(x.dtype)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        products = x @ x.mT
        x = a * x + (b * products + c * (products @ products)) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions, taken as matrices [outputs, inputs]; other parameters need another one.

    groups: as for any optimiser, each with `lr`, a number or a tensor. Parameters without a gradient stay.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float | Tensor, momentum: float = 0.95) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step with the gradients that are there."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shape = (parameter.shape[0], parameter[0].numel())
                    by_shape.setdefault(shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                self._step_together(parameters, shape, group["momentum"], group["lr"])

    def _step_together(self, parameters: list[Tensor], shape: tuple[int, int], momentum: float, lr: Any) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        looked_ahead = torch._foreach_lerp(gradients, buffers, momentum)
        updates = orthogonalised(torch.stack([each.reshape(shape) for each in looked_ahead]))
        updates = updates * (_ADAMS_SIZE * max(shape) ** 0.5) * lr
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.sub_(update.view(parameter.shape))
