"""Fusion: references act on g_a and g_s where they lie, at three scales, and may be left alone."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from clc.model.conditioning.fusion import Ends, Fusion, FusionConfig
from clc.model.config import Conditioning, ModelConfig
from clc.model.network import CompressionModel
from clc.model.presets import PRESETS
from tests.model.test_stages import small


def fused() -> ModelConfig:
    return ModelConfig.model_validate(small().model_dump() | {"conditioning": Conditioning.FUSED})


def awake(module: torch.nn.Module) -> None:
    """Give branches that start at zero some weight."""
    for name, parameter in module.named_parameters():
        if name.endswith("conv2.weight"):
            torch.nn.init.normal_(parameter, std=0.1)


def pictures(seed: int, number: int = 2) -> Tensor:
    return torch.rand(1, number, 3, 128, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model() -> CompressionModel:
    torch.manual_seed(0)
    return CompressionModel(fused()).eval()


@torch.no_grad()
def test_at_the_start_it_changes_nothing(model: CompressionModel) -> None:
    image = pictures(1)[:, 0]
    features = model.picture_features(pictures(2))
    latent = model.analyse(image)
    assert torch.equal(model.analyse(image, features), latent)
    assert torch.equal(model.synthesise(latent, features), model.synthesise(latent))


@torch.no_grad()
def test_both_transforms_see_the_references_and_their_order_says_nothing(model: CompressionModel) -> None:
    awake(model)
    image = pictures(1)[:, 0]
    some, others = model.picture_features(pictures(2)), model.picture_features(pictures(3))
    exchanged = model.picture_features(pictures(2).flip(1))
    latent = model.analyse(image)
    for transform, given in ((model.analyse, image), (model.synthesise, latent)):
        assert not torch.equal(transform(given, some), transform(given))
        assert not torch.equal(transform(given, some), transform(given, others))
        torch.testing.assert_close(transform(given, some), transform(given, exchanged))


@torch.no_grad()
def test_attention_takes_what_is_alike_or_nothing() -> None:
    torch.manual_seed(0)
    fusion = Fusion(8, 8, 8)
    awake(fusion)
    for projection in (fusion.query, fusion.key):
        projection.weight.copy_(20 * torch.eye(8)[..., None, None])
        projection.bias.zero_()
    x = torch.randn(1, 8, 4, 4)
    alike, other = x.clone(), -x
    both = fusion(x, torch.stack([other, alike], dim=1))
    torch.testing.assert_close(both, fusion(x, alike[:, None]))
    nothing = fusion(x, torch.zeros(1, 1, 8, 4, 4))
    fusion.none.fill_(1e9)
    torch.testing.assert_close(fusion(x, torch.stack([other, alike], dim=1)), nothing)


@torch.no_grad()
@pytest.mark.parametrize("ends", list(Ends))
def test_one_transform_can_be_fused_alone(ends: Ends) -> None:
    network = fused().model_copy(update={"fusion": FusionConfig(hidden=(8, 8, 8), ends=ends)})
    model = CompressionModel(network).eval()
    awake(model)
    image, features = pictures(1)[:, 0], model.picture_features(pictures(2))
    latent = model.analyse(image)
    assert torch.equal(model.analyse(image, features), latent) == (ends is Ends.SYNTHESIS)
    assert torch.equal(model.synthesise(latent, features), model.synthesise(latent)) == (ends is Ends.ANALYSIS)


@torch.no_grad()
def test_without_attention_the_mean_of_the_references_is_taken() -> None:
    torch.manual_seed(0)
    fusion = Fusion(8, 8, None)
    awake(fusion)
    x, references = torch.randn(1, 8, 4, 4), torch.randn(1, 3, 8, 4, 4)
    mean = references.mean(dim=1, keepdim=True)
    torch.testing.assert_close(fusion(x, references), fusion(x, mean.expand_as(references)))
    assert not [name for name, _ in fusion.named_parameters() if not name.startswith("conv")]


def test_features_are_those_of_g_a_at_each_scale(model: CompressionModel) -> None:
    features = model.picture_features(pictures(4, number=3))
    assert [tuple(each.shape) for each in features] == [(1, 3, 8, 32, 16), (1, 3, 12, 16, 8), (1, 3, 24, 8, 4)]


def test_a_training_pass_reaches_every_fusion(model: CompressionModel) -> None:
    awake(model)
    model.train()
    image = pictures(1)[:, 0, :, :64]
    views = pictures(2, number=3)[..., :64, :]
    references = torch.randn(1, 3, model.config.transform.latent_channels, 16, 16)
    result = model(image, references, 50.0, features=model.picture_features(views))
    assert result.image is not None
    (result.image.square().mean() + result.latent_bits.mean()).backward()
    for fusions in (model.fuse_a, model.fuse_s):
        assert fusions is not None
        for name, parameter in fusions.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_it_takes_pictures_and_scales() -> None:
    with pytest.raises(ValidationError, match="convolutional"):
        ModelConfig.model_validate(PRESETS["paper"].model_dump() | {"conditioning": Conditioning.FUSED})
    with pytest.raises(ValidationError, match="pictures"):
        ModelConfig.model_validate(fused().model_dump() | {"reference_source": "learned"})


def test_what_does_not_fuse_says_nothing_of_it() -> None:
    assert "fusion" not in small().model_dump(mode="json")
    assert "fusion" in fused().model_dump(mode="json")
