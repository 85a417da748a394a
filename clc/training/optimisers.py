"""The optimisers of a run: Adam, and Muon beside it for what it is made for."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from clc.model.network import CompressionModel
from clc.training.config import Optimiser, TrainingConfig
from clc.training.muon import Muon

_HIDDEN_IN_PRIOR = ("h_a", "hyper_synthesis", "trunk", "fixed", "own", "hidden")
_FEWEST_CHANNELS = 8  # of a matrix that is worth making orthogonal


class Optimisers:
    """Adam for all parameters, or for those that Muon does not move.

    g_a and g_s learn at `transform_rate` of the learning rate.
    on_device: learning rates are tensors there, so that a captured step takes them as they are set.
    """

    def __init__(self, model: CompressionModel, config: TrainingConfig, on_device: bool = False) -> None:
        gpu = model.device.type == "cuda"
        self._rates_on = model.device if on_device and gpu else None
        transforms = {id(each) for part in (model.g_a, model.g_s) for each in part.parameters()}
        hidden = set(map(id, _hidden(model))) if config.optimiser is Optimiser.MUON else set()
        shares = ((True, config.transform_rate), (False, 1.0))

        def groups(by_muon: bool) -> list[dict[str, object]]:
            return [
                {
                    "params": [
                        each
                        for each in model.parameters()
                        if (id(each) in transforms) == transform and (id(each) in hidden) == by_muon
                    ],
                    "share": share,
                    "lr": self._rate(config.learning_rate),
                }
                for transform, share in shares
            ]

        self.adam = torch.optim.Adam(
            groups(by_muon=False),
            lr=self._rate(config.learning_rate),
            fused=True,
            capturable=self._rates_on is not None,
        )
        self.muon = Muon(groups(by_muon=True), self._rate(config.learning_rate)) if hidden else None

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        return iter([self.adam] if self.muon is None else [self.adam, self.muon])

    def set_rate(self, learning_rate: float) -> None:
        """For the steps that follow."""
        for group in (group for each in self for group in each.param_groups):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate * group["share"])
            else:
                group["lr"] = learning_rate * group["share"]

    def zero_grad(self) -> None:
        """Forget all gradients; what a batch does not reach has none afterwards, and stays as it is."""
        for each in self:
            each.zero_grad(set_to_none=True)

    def step(self) -> None:
        """With the gradients that are there."""
        for each in self:
            each.step()

    def _rate(self, value: float) -> float | Tensor:
        return value if self._rates_on is None else torch.tensor(value, device=self._rates_on)


def _hidden(model: CompressionModel) -> Iterator[nn.Parameter]:
    """Weights of convolutions between hidden channels: neither what reads pixels, writes them or changes scale, nor
    the heads that say means and scales, nor anything of entropy models, gains and matching.
    """
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d) or min(module.in_channels, module.out_channels) < _FEWEST_CHANNELS:
            continue
        transform = name.startswith(("g_a.", "g_s.", "fuse_a.", "fuse_s."))
        inside = ".conv1" in name or ".conv2" in name
        prior = any(part in name.split(".") for part in _HIDDEN_IN_PRIOR)
        if inside if transform else prior:
            yield module.get_parameter("weight")
