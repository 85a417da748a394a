"""In training, each crop of a batch may have a quality of its own."""

import pytest
import torch

from clc.model.config import Conditioning
from clc.model.gain import GainUnit
from clc.model.network import CompressionModel
from clc.model.presets import PRESETS

QUALITIES = [1.0, 14.9, 50.5, 99.7, 100.0]


def test_gains_of_many_qualities_are_those_of_each() -> None:
    torch.manual_seed(0)
    gain = GainUnit(8)
    torch.nn.init.normal_(gain.log_gain)
    torch.nn.init.normal_(gain.log_inverse_gain)
    together = gain.rate(torch.tensor(QUALITIES))
    inverse = gain.inverse_gain(torch.tensor(QUALITIES))
    assert isinstance(together.position, torch.Tensor)
    for i, quality in enumerate(QUALITIES):
        alone = gain.rate(quality)
        assert together.position[i].item() == pytest.approx(alone.position, abs=2**-11)
        assert torch.allclose(together.gain[i], alone.gain[0], rtol=1e-4)
        assert torch.allclose(together.levels[i], alone.levels[0], atol=1e-3)
        assert torch.allclose(inverse[i], gain.inverse_gain(quality)[0], rtol=1e-4)


@pytest.mark.medium
@pytest.mark.parametrize("conditioning", [Conditioning.PRIOR, Conditioning.PAPER, Conditioning.NONE])
def test_crops_of_many_qualities_are_coded_as_each_alone(conditioning: Conditioning) -> None:
    torch.manual_seed(0)
    config = PRESETS["tiny"].model_copy(update={"conditioning": conditioning})
    model = CompressionModel(config).eval()
    images = torch.rand(3, 3, 256, 256)
    channels = config.transform.latent_channels
    references = None
    if conditioning is not Conditioning.NONE:
        references = 0.1 * torch.randn(3, config.references, channels, 16, 16)
    qualities = torch.tensor([5.0, 40.0, 95.0])
    with torch.no_grad():
        together = model(images, references, qualities)
        assert together.latent_bits.shape == together.hyper_bits.shape == (3,)
        for i, quality in enumerate(qualities.tolist()):
            own = None if references is None else references[i : i + 1]
            alone = model(images[i : i + 1], own, quality)
            assert together.latent_bits[i].item() == pytest.approx(alone.latent_bits.item(), rel=1e-2)
            assert together.hyper_bits[i].item() == pytest.approx(alone.hyper_bits.item(), rel=1e-2)
            assert (together.image[i] - alone.image[0]).abs().mean() < 1e-3
