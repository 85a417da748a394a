"""Training starts from a linear block transform and its transpose."""

import torch

from clc.model.tiles import to_tensor
from clc.model.transforms.convolutional import ConvolutionalConfig
from clc.model.transforms.initialisation import BlockTransform
from tests.conftest import picture


def test_the_untrained_transforms_keep_a_photos_low_frequencies() -> None:
    torch.manual_seed(0)
    config = ConvolutionalConfig(widths=(64, 128, 192), hidden=(64, 64, 64), blocks=(1, 1, 2), latent_channels=192)
    x = to_tensor(picture(0, 256, 256)[None])
    with torch.no_grad():
        decoded = config.synthesis()(config.analysis()(x))
    blurred = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 4), scale_factor=4)
    assert ((decoded - x) ** 2).mean() < ((blurred - x) ** 2).mean()


def test_with_every_channel_kept_nothing_is_lost() -> None:
    torch.manual_seed(0)
    config = ConvolutionalConfig(widths=(48, 192, 768), hidden=(8, 8, 8), blocks=(0, 0, 0), latent_channels=768)
    x = to_tensor(picture(1, 64, 64)[None])
    with torch.no_grad():
        decoded = config.synthesis()(config.analysis()(x))
    assert (decoded - x).abs().mean() < 0.03  # the rest is the noise that tells channels apart


def test_no_channel_is_kept_twice() -> None:
    for step in BlockTransform(4, (64, 128, 192)).steps:
        kept = list(zip(step.source.tolist(), step.band.tolist(), strict=True))
        assert len(set(kept)) == len(kept)
