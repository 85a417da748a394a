"""Dynamic aggregation is the sum that its definition says, wherever the content looks, and a plain one at first."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clc.model.transforms import aggregation as module
from clc.model.transforms.aggregation import DynamicAggregation, FixedAggregation, Kernels, aggregated, aggregation

SIZES = [(1, 1), (1, 7), (2, 2), (9, 5)]
any_size = pytest.mark.parametrize("size", SIZES, ids=str)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unsettled(channels: int = 8, groups: int = 2, reach: float = 16.0, scale: float = 1.0) -> DynamicAggregation:
    """A layer whose places and shares depend on the content."""
    torch.manual_seed(1)
    layer = DynamicAggregation(channels, groups, reach)
    torch.nn.init.normal_(layer.choose.weight, std=scale)
    return layer.requires_grad_(False)


@any_size
def test_the_regular_grid_with_equal_shares_is_a_plain_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = DynamicAggregation(channels=8, groups=2, reach=16.0).requires_grad_(False)
    x = random(2, 8, *size)
    # A ninth of the shared projection at each of 3×3 places, for either group of channels.
    weight = (layer.project.weight / 9).expand(-1, -1, 3, 3).repeat(2, 1, 1, 1)
    bias = layer.project.bias.repeat(2)
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias, groups=2)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_the_mean_of_nine_numbers_is_what_their_middle_sees() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    seen = aggregated(x, torch.zeros(1, 1, 9, 2, 3, 3), torch.full((1, 1, 9, 3, 3), 1 / 9))
    assert seen[0, 0, 1, 1] == pytest.approx(4.0)
    assert seen[0, 0, 0, 0] == pytest.approx((4 * 0 + 2 * 1 + 2 * 3 + 4) / 9)  # the border is repeated


@any_size
def test_sums_are_those_of_the_definition(size: tuple[int, int]) -> None:
    groups, channels, (height, width) = 2, 4, size
    x = random(2, channels, height, width)
    shift, share = 3 * random(2, groups, 9, 2, height, width, seed=1), random(2, groups, 9, height, width, seed=2)
    found = aggregated(x, shift, share)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in (2, channels, height, width))).tolist():
        image, channel, row, column = index
        group = channel // (channels // groups)
        total = 0.0
        for place in range(9):
            down, right = shift[image, group, place, :, row, column].tolist()
            y, x_ = row + place // 3 - 1 + down, column + place % 3 - 1 + right
            total += float(share[image, group, place, row, column]) * interpolated(x[image, channel], y, x_)
        assert float(found[image, channel, row, column]) == pytest.approx(total, abs=1e-4)


def interpolated(plane: Tensor, y: float, x: float) -> float:
    y, x = min(max(y, 0.0), plane.shape[0] - 1.0), min(max(x, 0.0), plane.shape[1] - 1.0)
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            if weight > 0:
                total += weight * float(plane[row, column])
    return total


def test_all_places_moved_alike_see_what_a_moved_picture_shows() -> None:
    x = random(1, 3, 12, 14)
    share = torch.full((1, 1, 9, 12, 14), 1 / 9)
    shift = torch.tensor([2.0, -3.0])[None, None, None, :, None, None].expand(1, 1, 9, 2, 12, 14)
    moved = aggregated(x, shift, share)
    plain = aggregated(x, torch.zeros_like(shift), share)
    assert torch.allclose(moved[:, :, :9, 4:], plain[:, :, 2:11, 1:11], atol=1e-5)


def test_a_moved_picture_gives_a_moved_result() -> None:
    layer = unsettled(reach=3.0)
    x = F.pad(random(1, 8, 10, 10), (14,) * 4)  # far enough from the border that no place reaches it
    moved = x.roll((3, -2), dims=(2, 3))
    assert torch.allclose(
        layer(moved)[:, :, 6:-6, 6:-6], layer(x).roll((3, -2), dims=(2, 3))[:, :, 6:-6, 6:-6], atol=1e-5
    )
    assert not torch.allclose(layer(moved), layer(x), atol=1e-2)


def test_places_depend_on_the_content() -> None:
    layer = unsettled()
    x = random(1, 8, 6, 6)
    shifts = [layer.places(layer.look(scaled))[0] for scaled in (x, 2 * x)]
    assert (shifts[0] - shifts[1]).abs().max() > 0.5
    assert len({tuple(shifts[0][0, group, :, 0, 2, 2].tolist()) for group in range(2)}) == 2, "each group its own"


@any_size
@pytest.mark.parametrize("far", [1e4, 1e9, 1e38, math.inf])
def test_far_outside_the_picture_lies_what_is_at_its_border(size: tuple[int, int], far: float) -> None:
    x = random(1, 2, *size)
    shift = torch.zeros(1, 1, 9, 2, *size)
    shift[:, :, :, 0], shift[:, :, :, 1] = far, -far
    seen = aggregated(x, shift, torch.full((1, 1, 9, *size), 1 / 9))
    assert torch.allclose(seen, x[:, :, -1:, :1].expand_as(x), atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e30])
def test_whatever_the_content_says_places_stay_within_reach(scale: float) -> None:
    layer = unsettled(reach=5.0, scale=scale)
    x = 1e4 * random(1, 8, 9, 7)
    shift, share = layer.places(layer.look(x))
    assert shift.abs().max() <= 5.0
    assert torch.allclose(share.sum(dim=2), torch.ones(1, 2, 9, 7), atol=1e-5)
    assert torch.isfinite(layer(x)).all()


@pytest.mark.parametrize("kernels", Kernels)
@any_size
def test_one_colour_stays_one_colour(kernels: Kernels, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = aggregation(kernels, channels=8, groups=2, reach=16.0).requires_grad_(False)
    torch.nn.init.normal_(layer.choose.weight if kernels is Kernels.DYNAMIC else layer.choose)
    colour = random(1, 8, 1, 1)
    projected = layer.project(colour.reshape(2, 4, 1, 1)).reshape(1, 8, 1, 1)
    assert torch.allclose(layer(colour.expand(1, 8, *size)), projected.expand(1, 8, *size), atol=1e-5)


def test_fixed_kernels_are_dynamic_ones_before_training() -> None:
    torch.manual_seed(0)
    dynamic, fixed = DynamicAggregation(8, 2, 16.0), FixedAggregation(8, 2)
    fixed.project.load_state_dict(dynamic.project.state_dict())
    x = random(2, 8, 7, 6)
    assert torch.allclose(dynamic(x), fixed(x), atol=1e-5)


def test_fixed_kernels_weigh_the_places_of_the_grid() -> None:
    layer = FixedAggregation(2, 2).requires_grad_(False)
    layer.project.weight.fill_(1.0)
    layer.project.bias.zero_()
    layer.choose[0, 5] = layer.choose[1, 1] = 50.0  # one looks right, the other up
    x = random(1, 2, 4, 4)
    assert torch.allclose(layer(x)[0, 0, :, :3], x[0, 0, :, 1:])
    assert torch.allclose(layer(x)[0, 1, 1:], x[0, 1, :3])


def test_bands_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = unsettled()
    x = random(2, 8, 11, 6)
    whole = layer(x)
    for size in (1, 4 * (layer.choose.out_channels + 9 * 8) * 6 * 2 * 4):  # a row, four rows
        monkeypatch.setattr(module, "_BAND_BYTES", size)
        assert torch.allclose(layer(x), whole, atol=1e-6)
    layer.requires_grad_(True)
    assert torch.allclose(layer(x), whole, atol=1e-6)


def test_gradients_reach_what_chooses_the_places() -> None:
    layer = unsettled().requires_grad_(True)
    x = random(1, 8, 6, 6).requires_grad_(True)
    layer(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())
    assert x.grad.abs().sum() > 0


def test_places_are_no_coarser_under_autocast() -> None:
    x = random(1, 4, 16, 16)
    shift, share = torch.full((1, 2, 9, 2, 16, 16), 0.3), torch.full((1, 2, 9, 16, 16), 1 / 9)
    exact = aggregated(x, shift, share)
    with torch.autocast("cpu", torch.bfloat16):
        halved = aggregated(x.bfloat16(), shift.bfloat16(), share.bfloat16())
    assert halved.dtype == torch.bfloat16
    assert (halved.float() - exact).abs().mean() < 0.01 * exact.abs().mean() + 0.01
