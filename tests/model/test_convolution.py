"""The prior path gives one and the same answer however it is summed."""

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from clc.model.exact.convolution import ExactConv2d, grids_of, snap
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS


@pytest.fixture
def frozen_layer() -> ExactConv2d:
    torch.manual_seed(0)
    layer = ExactConv2d(48, 32, 3)
    layer.observing = True
    layer(grid_input())
    layer.observing = False
    layer.freeze()
    return layer


def grid_input(batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(-500, 500, (batch, 48, 12, 9), generator=generator).float() / 16.0


def test_snap_rounds_halves_up_and_saturates_to_16_bits() -> None:
    x = torch.tensor([0.25, 0.75, -0.25, -0.75, 1e9, -1e9], dtype=torch.float64)
    assert snap(x, 1).tolist() == [0.5, 1.0, 0.0, -0.5, 32767 / 2, -32767 / 2]


def test_weights_are_16_bit_integers_times_a_power_of_two_per_channel(frozen_layer: ExactConv2d) -> None:
    for row in frozen_layer.weight:
        step = 2.0**-40
        while torch.all(row / (2 * step) == torch.round(row / (2 * step))):
            step *= 2
        assert (row / step).abs().max() < 2**15


def test_the_grid_of_a_channel_is_that_of_its_finest_number() -> None:
    channels = [[0.0, 0.0], [0.75, -3.0], [-(2.0**-24), 5.0], [4.0, 96.0], [2.0**20, 0.0], [2.0**53 - 1, 1.0]]
    finest = [max(Fraction(number).denominator for number in channel) for channel in channels]
    grids = grids_of(torch.tensor(channels, dtype=torch.float64)).tolist()
    assert grids == [-15, 2, 24, -2, -15, 0]
    assert [max(2**grid, 1) for grid in grids] == finest
    assert grids_of(torch.tensor([[[0.5, 3.0], [2.0**-30, 0.0]]])).tolist() == [30]


def test_the_order_of_summation_does_not_matter(frozen_layer: ExactConv2d) -> None:
    x = grid_input().double()
    order = torch.randperm(48, generator=torch.Generator().manual_seed(2))
    straight = frozen_layer(x)
    frozen_layer.weight.data = frozen_layer.weight.data[:, order]
    frozen_layer.restore()
    assert torch.equal(frozen_layer(x[:, order]), straight)


def test_threads_and_batch_size_do_not_matter(frozen_layer: ExactConv2d) -> None:
    x = grid_input(batch=4).double()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = torch.cat([frozen_layer(each[None]) for each in x])
        torch.set_num_threads(2)
        assert torch.equal(frozen_layer(x), single)
    finally:
        torch.set_num_threads(threads)


def test_freezing_changes_results_by_less_than_a_thousandth_of_their_range() -> None:
    torch.manual_seed(3)
    layers = nn.Sequential(ExactConv2d(48, 32, 3), nn.ReLU(), ExactConv2d(32, 8, 1))
    x = grid_input()
    for layer in layers[::2]:
        layer.observing = True
    before = layers(x)
    for layer in layers[::2]:
        layer.observing = False
        layer.freeze()
    assert (layers(x.double()) - before).abs().max() < 1e-3 * before.abs().max()


def test_a_frozen_layer_cannot_be_trained(frozen_layer: ExactConv2d) -> None:
    assert not any(parameter.requires_grad for parameter in frozen_layer.parameters())


def test_a_whole_frozen_prior_does_not_care_for_threads() -> None:
    torch.manual_seed(5)
    model = CompressionModel(PRESETS["tiny"])
    model.freeze([CalibrationCrop(torch.rand(1, 3, 128, 128), None, 60.0)])
    z_hat = torch.randint(-9, 9, (1, 64, 3, 2)).double()

    def decode(threads: int) -> Tensor:
        torch.set_num_threads(threads)
        noise = torch.Generator().manual_seed(6)

        def draw(index: int, mean: Tensor, level: Tensor) -> Tensor:
            return mean + torch.randint(-4, 5, mean.shape, generator=noise) + level  # levels count, too

        rate = model.gain.exact_rate(60.0)
        return model.prior.decode(model.prior.features(z_hat, rate), rate, draw)

    threads = torch.get_num_threads()
    try:
        assert torch.equal(decode(1), decode(2))
    finally:
        torch.set_num_threads(threads)


def test_results_are_those_of_integer_arithmetic(frozen_layer: ExactConv2d) -> None:
    x = grid_input(batch=1)[:, :, :3, :3].double()
    weight = [[Fraction(value) for value in row.flatten().tolist()] for row in frozen_layer.weight]
    window = [Fraction(value) for value in x.flatten().tolist()]
    step = Fraction(2) ** -int(frozen_layer.exponent)
    for channel in range(4):
        exact = Fraction(float(frozen_layer.bias[channel])) + sum(
            a * b for a, b in zip(weight[channel], window, strict=True)
        )
        assert frozen_layer(x)[0, channel, 1, 1].item() == math.floor(exact / step + Fraction(1, 2)) * step


def test_a_channel_that_hardly_responds_can_be_frozen() -> None:
    layer = ExactConv2d(48, 2, 3)
    layer.weight.data[0] *= 1e-9
    layer.weight.data[1] = 0.0
    layer.observing = True
    layer(grid_input())
    layer.freeze()
    assert layer.frozen


def test_weights_whose_sums_would_be_rounded_are_refused() -> None:
    layer = ExactConv2d(4, 1, 1, output_exponent=6)
    torch.nn.init.constant_(layer.weight, 1.0)
    layer.weight.data[0, 0] = 2.0**20 + 2.0**-3
    layer.weight.data[0, 1] = 2.0**-24
    with pytest.raises(ValueError, match="53 are available"):
        layer.restore()
