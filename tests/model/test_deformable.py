"""Our deformable convolution is torchvision's, within the rounding of float32."""

import pytest
import torch

from clc.model.conditioning.deformable import deformable_convolution


@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "height", "width"),
    [(8, 1, 3, 7, 5), (8, 4, 3, 16, 16), (6, 3, 1, 4, 9), (4, 2, 5, 6, 6), (4, 1, 3, 1, 1)],
)
def test_it_is_the_one_of_torchvision(channels: int, groups: int, kernel: int, height: int, width: int) -> None:
    from torchvision.ops import deform_conv2d  # takes seconds to import

    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, height, width, generator=random, requires_grad=True)
    # Far enough that some taps look beyond the border, by parts of a pixel and by more than one.
    shift = 3 * torch.randn(2, groups * kernel**2 * 2, height, width, generator=random)
    shift.requires_grad_()
    mask = torch.rand(2, groups * kernel**2, height, width, generator=random)
    weight, bias = torch.randn(5, channels, kernel, kernel, generator=random), torch.randn(5, generator=random)
    found = deformable_convolution(x, shift, mask, weight, bias)
    expected = deform_conv2d(x, shift, weight, bias, padding=kernel // 2, mask=mask)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    gradients = (torch.autograd.grad(each.square().sum(), [x, shift]) for each in (found, expected))
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_places_are_no_coarser_under_autocast() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 16, 16, generator=random)
    shift = torch.full((1, 18, 16, 16), 0.5)
    mask, weight, bias = torch.ones(1, 9, 16, 16), torch.randn(4, 4, 3, 3, generator=random), torch.zeros(4)
    exact = deformable_convolution(x, shift, mask, weight, bias)
    with torch.autocast("cpu", torch.bfloat16):
        halved = deformable_convolution(x, shift, mask, weight, bias)
    assert (halved - exact).abs().mean() < 0.01 * exact.abs().mean()
