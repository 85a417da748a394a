"""The neural syntax as a part of the network: what it costs, what it learns from, what it leaves as it was."""

import math

import pytest
import torch
from torch import Tensor

from clc.model.complexity import complexity
from clc.model.config import Conditioning, ModelConfig
from clc.model.network import CompressionModel
from clc.model.presets import PRESETS
from clc.model.priors.tables import LOG_SCALE_STEP, SCALE_MIN
from clc.model.syntax.neural_syntax import NeuralSyntax
from clc.model.tiles import to_tensor
from clc.training.objective import Distortion, rate_distortion
from tests.codec.syntax_models import SYNTAX, syntax_config, syntax_model
from tests.conftest import picture
from tests.model.test_presets import TCM


@pytest.fixture(scope="module")
def crops() -> Tensor:
    return torch.cat([to_tensor(picture(seed, 64, 64)[None]) for seed in range(8)])


@pytest.fixture
def model() -> CompressionModel:
    torch.manual_seed(0)
    return CompressionModel(syntax_config())


def test_the_loss_counts_the_bits_of_the_syntax(model: CompressionModel, crops: Tensor) -> None:
    with torch.no_grad():
        result = model.eval()(crops, None, 50.0)
    assert result.syntax_bits is not None
    assert (result.syntax_bits > 1.0).all()
    loss = rate_distortion(result, crops, 50.0, Distortion.MSE)
    bits = result.latent_bits + result.hyper_bits + result.syntax_bits * 64 * 64 / (768 * 512)  # a photo has them once
    assert loss.bpp.item() == pytest.approx(float(bits.sum()) / (8 * 64 * 64))
    assert result.bits.sum() == pytest.approx(
        float((result.latent_bits + result.hyper_bits + result.syntax_bits).sum())
    )
    (part,) = torch.autograd.grad(
        rate_distortion(model.train()(crops, None, 50.0), crops, 50.0, Distortion.MSE).total,
        [model.syntax.prior.level.bias],  # type: ignore[union-attr]
    )
    assert part.abs().min() > 0


def test_a_number_costs_what_its_mean_and_its_scale_say(model: CompressionModel) -> None:
    """Mean and scale are what they are called."""
    syntax = model.syntax
    assert isinstance(syntax, NeuralSyntax)
    syntax.eval()
    scale, mean = 2.0, 5.25
    with torch.no_grad():
        for layer, bias in (
            (syntax.prior.mean, mean),
            (syntax.prior.level, math.log(scale / SCALE_MIN) / LOG_SCALE_STEP / 2.0),
            (syntax.generator.last, (mean + 3.0) / 4.0),
        ):
            layer.weight.zero_()
            layer.bias.fill_(bias)
        rate = model.gain.rate(50.0)
        numbers, bits = syntax(torch.randn(1, 64, 4, 4), torch.randn(1, 25, 4, 4), rate)
    assert numbers.tolist() == [[mean + 3.0] * SYNTAX.numbers]
    normal = torch.distributions.Normal(0.0, scale)
    expected = -math.log2(float(normal.cdf(torch.tensor(3.5)) - normal.cdf(torch.tensor(2.5))))
    assert bits.item() == pytest.approx(SYNTAX.numbers * expected, rel=1e-4)


def test_everything_about_it_learns(model: CompressionModel, crops: Tensor) -> None:
    syntax = model.syntax
    assert syntax is not None
    assert syntax.post is not None
    torch.nn.init.normal_(syntax.layer.last.weight, std=0.01)  # as after a step
    torch.nn.init.normal_(syntax.post.generated.last.weight, std=0.01)
    torch.nn.init.normal_(syntax.post.last.weight, std=0.01)
    rate_distortion(model.train()(crops, None, 60.0), crops, 60.0, Distortion.MSE).total.backward()
    silent = [name for name, each in syntax.named_parameters() if each.grad is None or not each.grad.any()]
    assert silent == []


def test_post_processing_does_not_teach_the_picture(model: CompressionModel, crops: Tensor) -> None:
    result = model.train()(crops, None, 60.0)
    assert result.processed is not None
    result.processed.square().mean().backward()
    assert all(each.grad is None for each in model.g_s.parameters())


def test_some_crops_train_without_their_syntax(model: CompressionModel, crops: Tensor) -> None:
    torch.manual_seed(0)
    syntax = model.train().syntax
    assert syntax is not None
    normalised, features = torch.randn(64, 64, 4, 4), torch.randn(64, 25, 4, 4)
    numbers, bits = syntax(normalised, features, model.gain.rate(50.0))
    without = bits == 0
    assert 4 < int(without.sum()) < 32
    assert torch.equal(without, (numbers == 0).all(dim=1))


def test_the_frozen_prior_sees_the_mean_of_the_features_whatever_their_order() -> None:
    model = syntax_model(steps=1)
    assert model.syntax is not None
    exact = torch.randint(-(2**15), 2**15, (1, 25, 37, 53)).double() * 2.0**-9
    shuffled = exact.flatten(2)[:, :, torch.randperm(37 * 53)].view_as(exact)
    first, second = model.syntax.prior(exact), model.syntax.prior(shuffled)
    assert torch.equal(torch.stack(first), torch.stack(second))
    mean, level = first
    assert torch.equal(mean * 64, torch.floor(mean * 64))
    assert torch.equal(level, torch.floor(level))


def test_weights_that_it_makes_are_bounded(model: CompressionModel) -> None:
    assert model.syntax is not None
    layer, x = model.syntax.layer, torch.randn(1, 24, 4, 4)
    torch.nn.init.normal_(layer.last.weight)
    with torch.no_grad():
        far, farther = (layer(x, torch.full((1, 8), wild)) for wild in (1e3, 1e30))
    assert torch.isfinite(farther).all()
    assert torch.allclose(far, farther, rtol=0.01, atol=0.1)


def test_it_starts_from_a_model_without_one(crops: Tensor) -> None:
    plain = CompressionModel(syntax_config(None)).eval()
    model = CompressionModel(syntax_config()).eval()
    model.start_from(plain.state_dict())
    with torch.no_grad():
        own, before = model(crops, None, 50.0), plain(crops, None, 50.0)
    assert torch.equal(own.image, before.image)  # it changes nothing before it has learned
    assert torch.equal(own.latent_bits, before.latent_bits)


def test_it_acts_on_g_s_after_fused_references() -> None:
    torch.manual_seed(0)
    config = syntax_config().model_copy(update={"conditioning": Conditioning.FUSED})
    model = CompressionModel(config)
    assert model.syntax is not None
    torch.nn.init.normal_(model.syntax.layer.last.weight, std=0.1)
    torch.nn.init.normal_(model.fuse_s[0].conv2.weight, std=0.1)
    latent = torch.randn(1, 64, 4, 4)
    features = tuple(torch.randn(1, 2, width, 64 // by, 64 // by) for width, by in ((24, 4), (48, 8), (64, 16)))
    with torch.no_grad():
        both = model.synthesise(latent, features, syntax=torch.ones(1, 8))
        fused, changed = model.synthesise(latent, features), model.synthesise(latent, syntax=torch.ones(1, 8))
        assert torch.equal(model.synthesise(latent, features, syntax=torch.zeros(1, 8)), fused)
    assert not torch.equal(both, fused)
    assert not torch.equal(both, changed)


def test_models_without_one_are_described_as_before() -> None:
    assert all("syntax" not in config.model_dump() for config in PRESETS.values())
    again = ModelConfig.model_validate_json(syntax_config().model_dump_json())
    assert again.syntax == SYNTAX


def test_its_cost_is_counted() -> None:
    plain, own = (complexity(syntax_config(syntax)) for syntax in (None, SYNTAX))
    assert own.parameters > plain.parameters
    # 24×24 products for each position at a quarter of the resolution, and next to nothing for each photo.
    assert own.decoder - plain.decoder == pytest.approx(24 * 24 / 16, rel=0.02)
    assert own.encoder > plain.encoder


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (TCM.model_copy(update={"syntax": SYNTAX}), "convolutional transforms"),
        (syntax_config(SYNTAX.model_copy(update={"part": 65})), "no first 65"),
    ],
)
def test_a_syntax_that_does_not_fit_is_refused(config: ModelConfig, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        ModelConfig.model_validate(config.model_dump())
