"""Estimated rates are those of CompressAI's entropy models."""

from types import ModuleType

import pytest
import torch

from clc.model.priors.likelihood import FactorizedPrior, gaussian_likelihood, lower_bound, saturated


@pytest.fixture
def entropy_models() -> ModuleType:
    """CompressAI's; it takes seconds to import."""
    return pytest.importorskip("compressai.entropy_models")


def test_the_factorised_prior_is_that_of_compressai(entropy_models: ModuleType) -> None:
    torch.manual_seed(0)
    own, theirs = FactorizedPrior(4).eval(), entropy_models.EntropyBottleneck(4, init_scale=2.0).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    loaded = theirs.load_state_dict(own.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    z = 5.0 * torch.randn(2, 4, 3, 5)
    theirs.quantiles.data.zero_()
    assert torch.allclose(own(z), theirs(z)[1], atol=1e-6)


def test_gaussian_likelihoods_are_those_of_compressai(entropy_models: ModuleType) -> None:
    torch.manual_seed(1)
    values, means, scales = torch.randn(1000) * 9, torch.randn(1000), torch.rand(1000) * 8 + 0.11
    theirs = entropy_models.GaussianConditional(None, scale_bound=0.11).eval()
    rounded = torch.round(values - means) + means
    assert torch.allclose(gaussian_likelihood(rounded, means, scales), theirs(values, scales, means)[1], atol=1e-6)


def test_outside_a_bound_only_gradients_that_lead_back_pass() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    lower_bound(x, 0.0).sum().backward()  # descending, -1 would leave further
    assert x.grad.tolist() == [0.0, 1.0]
    x.grad = None
    (-lower_bound(x, 0.0)).sum().backward()
    assert x.grad.tolist() == [-1.0, -1.0]
    x = torch.tensor([-1.0, 0.5, 3.0], requires_grad=True)
    assert saturated(x, 1.0).tolist() == [0.0, 0.5, 1.0]
