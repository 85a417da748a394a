"""The prior on bands of rows: the very numbers of the prior on all of a latent."""

import pytest
import torch
from torch import Tensor

from clc.model.config import ModelConfig
from clc.model.network import CompressionModel
from clc.model.priors.banded import PartlyDecoded, decode_in_bands, features_in_bands, hyper_latent_in_bands
from clc.model.priors.stages import Block, Phase
from tests.model.test_stages import CHANNELS, frozen, small

ROWS, COLUMNS = 36, 20
SIZES = [pytest.param((4, 2, 1), id="stages"), pytest.param(None, id="no stages")]
CONDITIONED = [pytest.param(False, id="alone"), pytest.param(True, id="with references")]


def config(stages: tuple[int, ...] | None) -> ModelConfig:
    own = small()
    return own.model_copy(update={"prior": own.prior.model_copy(update={"stages": stages})})


@pytest.fixture(scope="module")
def models() -> dict[tuple[int, ...] | None, CompressionModel]:
    return {stages: frozen(config(stages)) for stages in ((4, 2, 1), None)}


def references(conditioned: bool) -> Tensor | None:
    torch.manual_seed(4)
    return torch.randint(-127, 128, (6, 3, CHANNELS, 16, 16)) * 2.0**-5 if conditioned else None


class Symbols:
    """Adds given symbols to the means, and keeps all that it is told."""

    def __init__(self, symbols: Tensor) -> None:
        self.symbols = symbols
        self.levels: dict[tuple[int, tuple[Phase, ...]], list[Tensor]] = {}

    def band(self, block: Block, rows: slice, mean: Tensor, level: Tensor, latent: PartlyDecoded) -> None:
        self.levels.setdefault((block.start, block.phases), []).append(level)
        own = block.of(self.symbols[:, :, rows])
        for place, values in zip(latent.of(block, rows), (mean + own).split(1), strict=True):
            place.copy_(values)

    def end(self, block: Block, latent: PartlyDecoded) -> None:
        pass


@pytest.mark.parametrize("stages", SIZES)
@pytest.mark.parametrize("conditioned", CONDITIONED)
@torch.inference_mode()
def test_a_latent_decoded_in_bands_is_that_of_the_whole(
    models: dict[tuple[int, ...] | None, CompressionModel], stages: tuple[int, ...] | None, conditioned: bool
) -> None:
    model, known = models[stages], references(conditioned)
    torch.manual_seed(5)
    z_hat = torch.randint(-9, 9, (1, 8, ROWS // 4, COLUMNS // 4)).double()
    symbols = torch.randint(-4, 5, (1, CHANNELS, ROWS, COLUMNS)).double()
    rate = model.gain.exact_rate(60.0)
    features = model.prior.features(z_hat, rate)
    levels: dict[tuple[int, tuple[Phase, ...]], Tensor] = {}

    def quantise(block: Block, mean: Tensor, level: Tensor) -> Tensor:
        levels[block.start, block.phases] = level
        return block.of(symbols) + mean

    whole = model.decode(features, rate, quantise, known)
    assert whole.std() > 1.0
    for rows in (16, 32, 48):
        coder = Symbols(symbols)
        in_place = torch.full(whole.shape, torch.nan)  # as if anything had lain there before
        banded = decode_in_bands(model.prior, features.float(), rate, coder, known, into=in_place, rows_at_once=rows)
        assert torch.equal(banded.double(), whole), rows
        assert {key: torch.cat(own, dim=2).tolist() for key, own in coder.levels.items()} == {
            key: own.tolist() for key, own in levels.items()
        }


@torch.inference_mode()
def test_hyper_features_in_bands_are_those_of_the_whole(models: dict) -> None:
    model = models[None]
    z_hat = torch.randint(-9, 9, (1, 8, 9, 5)).double()
    rate = model.gain.exact_rate(33.0)
    for rows in (16, 32, 48):
        assert torch.equal(
            features_in_bands(model.prior, z_hat, rate, rows).double(), model.prior.features(z_hat, rate)
        )


@pytest.mark.parametrize("conditioned", CONDITIONED)
@torch.inference_mode()
def test_the_hyper_latent_in_bands_is_that_of_the_whole(models: dict, conditioned: bool) -> None:
    model, known = models[None], references(conditioned)
    scaled = 4.0 * torch.randn(1, CHANNELS, ROWS, COLUMNS)
    rate = model.gain.rate(60.0)
    whole = model.prior.hyper_latent(scaled, rate, known)
    for rows in (16, 32, 48):
        banded = hyper_latent_in_bands(model.prior, lambda own: scaled[:, :, own], (ROWS, COLUMNS), rate, known, rows)
        torch.testing.assert_close(banded, whole, rtol=0, atol=1e-5)
