"""Spatial stages: what is decoded at once, what later stages know, and that all of it is exact."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from clc.model.config import ModelConfig
from clc.model.gain import GainUnit
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS
from clc.model.priors.config import PriorConfig
from clc.model.priors.slices import StagedSliceNetwork
from clc.model.priors.stages import Assembled, Block, phases_of_stages
from clc.model.transforms.convolutional import ConvolutionalConfig

CHANNELS = 24


def small(stages: tuple[int, ...] = (4, 2, 1)) -> ModelConfig:
    """The structure of `base`, much narrower."""
    transform = ConvolutionalConfig(widths=(8, 12, 24), hidden=(8, 8, 8), blocks=(1, 1, 1), latent_channels=CHANNELS)
    prior = PriorConfig(hyper_channels=8, hyper_width=8, slices=(4, 8, 12), stages=stages, slice_width=16)
    return PRESETS["base"].model_copy(update={"transform": transform, "prior": prior})


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_blocks_of_a_slice_make_it_up(number: int) -> None:
    latent = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    assembled = Assembled()
    for phases in phases_of_stages(number):
        block = Block(0, 3, phases)
        assembled.add(block, block.of(latent))
    assert torch.equal(assembled.latent, latent)


def test_what_is_not_decoded_yet_is_zero_and_said_to_be() -> None:
    latent = torch.ones(1, 3, 4, 4)
    assembled = Assembled()
    block = Block(0, 3, phases_of_stages(2)[0])  # (0, 0) and (1, 1)
    assembled.add(block, block.of(latent))
    checkerboard = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(2, 2)
    assert torch.equal(assembled.known[0, 0], checkerboard)
    assert torch.equal(assembled.latent[0, 1], checkerboard)


def test_diagonal_neighbours_come_first() -> None:
    assert phases_of_stages(4) == (((0, 0),), ((1, 1),), ((0, 1),), ((1, 0),))
    assert phases_of_stages(2) == (((0, 0), (1, 1)), ((0, 1), (1, 0)))


@torch.inference_mode()
def test_a_stage_is_what_the_whole_network_gives_at_its_positions() -> None:
    torch.manual_seed(0)
    network = StagedSliceNetwork(known=5, matched=0, width=8, channels=3, stages=4)
    torch.nn.init.normal_(network.own.weight)
    known, own = torch.randn(2, 5, 8, 12), torch.randn(2, 4, 8, 12)
    together = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.cat([known, own], dim=1), (1,) * 4, mode="replicate"),
        torch.cat([network.fixed.weight, network.own.weight], dim=1),
        network.fixed.bias + network.own.bias,
    )
    features = torch.relu(network.hidden(torch.relu(together)))
    for phases in network.stages:
        mean, level = network(network.begin(known), own, None, phases)
        at = Block(0, 3, phases).of
        assert torch.allclose(mean, at(network.mean(features)), atol=1e-5)
        assert torch.allclose(level, at(2.0 * network.level(features)), atol=1e-5)


@torch.inference_mode()
def test_later_stages_know_what_earlier_ones_decoded_and_earlier_ones_know_nothing_of_later_ones() -> None:
    torch.manual_seed(1)
    model = CompressionModel(small()).eval()
    for network in model.prior.plain.networks:
        for layer in (network.mean, network.fixed, network.hidden):
            torch.nn.init.normal_(layer.weight, std=0.3)
    first = model.prior.plain.networks[0]
    torch.nn.init.normal_(first.own.weight)
    rate = model.gain.rate(50.0)
    features = torch.randn(1, 9, 8, 8)

    def means(latent: Tensor) -> dict[Block, Tensor]:
        seen: dict[Block, Tensor] = {}

        def quantise(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            seen[block] = mean
            return block.of(latent)

        model.decode(features, rate, quantise, None)
        return seen

    latent = torch.randn(1, CHANNELS, 8, 8)
    changed = latent.clone()
    changed[:, :4, 1::2, 1::2] += 5.0  # the second stage of the first slice
    before, after = means(latent), means(changed)
    same = [torch.equal(before[block], after[block]) for block in before]
    assert same == [True, True] + [False] * 5


def frozen(config: ModelConfig) -> CompressionModel:
    torch.manual_seed(2)
    model = CompressionModel(config)
    for own in (model.prior.plain, model.prior.conditioned):
        for network in own.networks:
            if hasattr(network, "own"):
                torch.nn.init.normal_(network.own.weight, std=0.1)
    references = model.g_a(torch.rand(3, 3, 256, 256))[None].detach()
    model.freeze([CalibrationCrop(torch.rand(1, 3, 128, 128), references, quality) for quality in (1.0, 50.0, 100.0)])
    return model


@torch.inference_mode()
@pytest.mark.parametrize("conditioned", [False, True])
def test_a_frozen_prior_with_stages_does_not_care_for_threads_or_the_order_of_sums(conditioned: bool) -> None:
    model = frozen(small())
    z_hat = torch.randint(-9, 9, (1, 8, 5, 6)).double()
    references = torch.randint(-127, 128, (4, 3, CHANNELS, 16, 16)) * 2.0**-8 if conditioned else None
    rate = model.gain.exact_rate(60.0)
    threads = torch.get_num_threads()

    def decode(number: int) -> Tensor:
        torch.set_num_threads(number)
        noise = torch.Generator().manual_seed(6)

        def draw(block: Block, mean: Tensor, level: Tensor) -> Tensor:
            assert torch.equal(level, torch.round(level))
            assert torch.equal(mean * 64, torch.round(mean * 64))
            return mean + torch.randint(-4, 5, mean.shape, generator=noise) + level

        return model.decode(model.prior.features(z_hat, rate), rate, draw, references)

    try:
        single = decode(1)
        assert torch.equal(decode(2), single)
        for network in model.prior.of(references).networks:  # the same products in another order
            order = torch.randperm(network.hidden.weight.shape[0])
            for layer in [network.fixed] + ([network.own] if hasattr(network, "own") else []):
                layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]
                layer.restore()
            network.hidden.weight.data = network.hidden.weight.data[:, order]
            network.hidden.restore()
        assert torch.equal(decode(1), single)
    finally:
        torch.set_num_threads(threads)


def test_each_crop_of_a_batch_may_have_its_own_quality() -> None:
    torch.manual_seed(3)
    model = CompressionModel(small()).eval()
    images, references = torch.rand(2, 3, 256, 256), torch.randn(2, 3, CHANNELS, 16, 16)
    with torch.no_grad():
        for given in (None, references):
            both = model(images, given, torch.tensor([20.0, 80.0]))
            for index, quality in enumerate((20.0, 80.0)):
                own = None if given is None else given[index : index + 1]
                alone = model(images[index : index + 1], own, quality)
                assert torch.allclose(both.image[index], alone.image[0], atol=1e-4)
                assert both.latent_bits[index] == pytest.approx(float(alone.latent_bits), rel=1e-4)
                assert both.hyper_bits[index] == pytest.approx(float(alone.hyper_bits), rel=1e-4)


def test_qualities_of_a_batch_give_the_gains_of_each() -> None:
    gain = GainUnit(5)
    gain.log_gain.data += torch.randn_like(gain.log_gain)
    qualities = torch.tensor([1.0, 17.3, 50.0, 100.0])
    for of in (gain.gain, gain.inverse_gain, lambda quality: gain.rate(quality).levels):
        assert torch.allclose(of(qualities), torch.cat([of(float(each)) for each in qualities]), rtol=1e-5)


@pytest.mark.parametrize(
    ("stages", "reason"),
    [((4, 2), "2 stages for 3 slices"), ((4, 3, 1), "1, 2 or 4 stages, not 3"), ((0, 1, 1), "1, 2 or 4 stages, not 0")],
)
def test_stages_that_fit_no_cell_or_no_slice_are_refused(stages: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        small(stages)


def test_a_configuration_without_stages_is_written_as_before_there_were_any() -> None:
    assert "stages" not in PRESETS["tiny"].model_dump(mode="json")["prior"]
    assert PRESETS["base"].model_dump(mode="json")["prior"]["stages"] == [4, 4, 2, 2, 1]
