"""Muon makes momentum orthogonal, and moves hidden convolutions by as much as Adam would."""

import math

import pytest
import torch

from clc.model.network import CompressionModel
from clc.training.config import Optimiser, TrainingConfig
from clc.training.muon import Muon, orthogonalised
from clc.training.optimisers import Optimisers
from tests.miniature import MINIATURE


@pytest.mark.parametrize("shape", [(3, 12, 40), (2, 40, 12), (1, 24, 24)])
def test_matrices_become_about_what_a_singular_value_decomposition_makes_orthogonal(
    shape: tuple[int, int, int],
) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalised(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.25
    likeness = torch.nn.functional.cosine_similarity(found.flatten(1), (u @ v).flatten(1))
    assert likeness.min() > 0.97


def test_a_step_goes_along_the_orthogonal_matrix_by_as_much_as_adam_usually_goes() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(16, 4, 3, 3))
    before = weight.detach().clone()
    weight.grad = torch.randn_like(weight)
    Muon([{"params": [weight]}], lr=1e-2).step()
    moved = (before - weight.detach()) / 1e-2
    u, _, v = torch.linalg.svd(weight.grad.reshape(16, -1), full_matrices=False)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0) > 0.97
    assert moved.square().mean().sqrt() == pytest.approx(0.2, rel=0.25)


def test_weights_of_one_shape_do_not_mix() -> None:
    torch.manual_seed(0)
    gradients = torch.randn(2, 16, 8, 3, 3)
    moved = []
    for chosen in ([0], [1], [0, 1]):
        weights = [torch.nn.Parameter(torch.zeros(16, 8, 3, 3)) for _ in chosen]
        for weight, number in zip(weights, chosen, strict=True):
            weight.grad = gradients[number].clone()
        Muon([{"params": weights}], lr=1.0).step()
        moved += [weight.detach() for weight in weights]
    assert torch.allclose(moved[2], moved[0], atol=1e-5)
    assert torch.allclose(moved[3], moved[1], atol=1e-5)


def test_what_has_no_gradient_stays() -> None:
    weight = torch.nn.Parameter(torch.randn(8, 8, 3, 3))
    before = weight.detach().clone()
    Muon([{"params": [weight]}], lr=1.0).step()
    assert torch.equal(weight, before)


def test_muon_moves_convolutions_between_hidden_channels_and_adam_everything_else() -> None:
    model = CompressionModel(MINIATURE)
    optimisers = Optimisers(model, TrainingConfig(steps=1, optimiser=Optimiser.MUON))
    assert optimisers.muon is not None
    of_muon, of_adam = (
        {id(each) for group in optimiser.param_groups for each in group["params"]}
        for optimiser in (optimisers.muon, optimisers.adam)
    )
    names = {id(each): name for name, each in model.named_parameters()}
    assert of_muon | of_adam == set(names)
    assert not of_muon & of_adam
    moved = {names[each] for each in of_muon}
    assert {"g_a.layers.1.weight", "gain.log_gain"}.isdisjoint(moved)
    assert any(name.startswith("g_a.") and ".conv1." in name for name in moved)
    assert any(".trunk." in name for name in moved)
    assert all(name.endswith(".weight") for name in moved)


def test_transforms_learn_at_their_share_of_the_rate_with_either() -> None:
    model = CompressionModel(MINIATURE)
    optimisers = Optimisers(model, TrainingConfig(steps=1, optimiser=Optimiser.MUON, transform_rate=0.25))
    optimisers.set_rate(1e-2)
    for each in optimisers:
        assert [group["lr"] for group in each.param_groups] == [pytest.approx(2.5e-3), pytest.approx(1e-2)]


def test_without_muon_there_is_adam_alone() -> None:
    optimisers = Optimisers(CompressionModel(MINIATURE), TrainingConfig(steps=1))
    assert [type(each) for each in optimisers] == [torch.optim.Adam]
    assert math.isclose(optimisers.adam.param_groups[0]["share"], 0.2)
