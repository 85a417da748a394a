"""The part of a network that learns; all else stays as it is, bit for bit."""

from torch import nn

from clc.model.network import CompressionModel
from clc.training.config import Part


def learn_only(part: Part, model: CompressionModel) -> None:
    """Let nothing but a part of a model have gradients: what is left without one, no optimiser moves."""
    if part is Part.ALL:
        return
    model.requires_grad_(False)
    for module in _modules(part, model):
        module.requires_grad_(True)


def learns(module: nn.Module) -> bool:
    """Whether a module has parameters that learn."""
    return any(parameter.requires_grad for parameter in module.parameters())


def _modules(part: Part, model: CompressionModel) -> list[nn.Module]:
    fusions: list[nn.Module] = [each for each in (model.fuse_a, model.fuse_s) if each is not None]
    if part is Part.FUSION:
        return fusions
    assert model.prior.conditioned is not None, "checked by the job"
    return [model.prior.conditioned, *fusions]
