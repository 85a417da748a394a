"""Networks on the rows of a picture as they come: the results that they have on all of it."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from clc.model.network import CompressionModel
from clc.model.streaming import Band, gathered, streamed
from tests.model.test_stages import CHANNELS, frozen, small


def bands(whole: Tensor, rows: int) -> Iterator[Band]:
    for top in range(0, whole.shape[2], rows):
        yield whole[:, :, top : top + rows], top + rows >= whole.shape[2]


@pytest.fixture(scope="module")
def model() -> CompressionModel:
    found = frozen(small())
    for part in found.modules():  # whose branches begin as nothing
        if isinstance(part, nn.Conv2d) and part.weight.dtype == torch.float32:
            nn.init.normal_(part.weight, std=0.1)
    found.use_channels_last()
    return found


@pytest.mark.parametrize("rows", [16, 48, 208])
@torch.inference_mode()
def test_an_image_analysed_in_bands_has_the_latent_of_the_whole(model: CompressionModel, rows: int) -> None:
    image = torch.rand(1, 3, 208, 112).contiguous(memory_format=torch.channels_last)
    whole = model.g_a(image)
    banded = gathered(streamed(model.g_a, bands(image, rows)), torch.full_like(whole, torch.nan))
    torch.testing.assert_close(banded, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 13])
@torch.inference_mode()
def test_a_latent_synthesised_in_bands_has_the_picture_of_the_whole(model: CompressionModel, rows: int) -> None:
    latent = torch.randn(1, CHANNELS, 13, 7).contiguous(memory_format=torch.channels_last)
    whole = model.g_s(latent)
    banded = gathered(streamed(model.g_s, bands(latent, rows)), torch.full_like(whole, torch.nan))
    torch.testing.assert_close(banded, whole, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_so_have_the_residual_of_the_latent_and_the_hyper_latent(model: CompressionModel) -> None:
    known = torch.randn(1, CHANNELS + model.config.prior.feature_channels, 12, 8)
    residual = gathered(streamed(model.residual, bands(known, 4)), torch.empty(1, CHANNELS, 12, 8))
    torch.testing.assert_close(residual, model.residual(known), rtol=0, atol=1e-6)
    h_a, latent = model.prior.of(None).h_a, torch.randn(1, CHANNELS, 28, 8)
    z = h_a(latent)
    for rows in (4, 8, 20):
        torch.testing.assert_close(
            gathered(streamed(h_a, bands(latent, rows)), torch.empty_like(z)), z, rtol=0, atol=1e-5
        )


@torch.inference_mode()
def test_exact_layers_give_the_very_numbers(model: CompressionModel) -> None:
    z_hat = torch.randint(-9, 9, (1, 8, 7, 6)).double()
    whole = model.prior.hyper_synthesis(z_hat)
    for rows in (1, 2, 7):
        banded = gathered(streamed(model.prior.hyper_synthesis, bands(z_hat, rows)), torch.full_like(whole, torch.nan))
        assert torch.equal(banded, whole)


def test_a_network_that_looks_everywhere_is_refused() -> None:
    with pytest.raises(TypeError, match="whole pictures only"):
        streamed(nn.Softmax2d(), iter(()))
