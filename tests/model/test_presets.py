"""Every preset codes any image, and stays a model when it is stored."""

import numpy as np
import pytest
import torch

from clc.codec.bitstream import describe
from clc.codec.codec import Codec
from clc.codec.references.protocols import ReferenceLatents
from clc.codec.stream_header import tile_count
from clc.model.conditioning.int8 import quantise
from clc.model.config import Conditioning
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS
from clc.model.tiles import to_tensor
from clc.model.transforms.dynamic import DynamicConfig
from clc.model.transforms.tcm import TcmConfig
from tests.conftest import picture
from tests.miniature import MINIATURE

MODEL_ID, DICTIONARY_ID = "1" * 16, "2" * 16


class FirstEntries:
    """Finds the first entries for every tile."""

    def retrieve(self, image: np.ndarray, number: int) -> np.ndarray:
        return np.tile(np.arange(number), (tile_count(*image.shape[:2]), 1))


TCM = MINIATURE.model_copy(
    update={
        "transform": TcmConfig(
            width=16,
            blocks=(1, 1, 1),
            head_channels=(8, 8, 8),
            window=8,
            hyper_blocks=1,
            hyper_head_channels=8,
            hyper_window=4,
            latent_channels=64,
        ),
        "conditioning": Conditioning.BOTH,
    }
)
DYNAMIC = MINIATURE.model_copy(
    update={
        "transform": DynamicConfig(
            widths=(24, 48, 64),
            hidden=(16, 16, 24),
            groups=(2, 4, 3),
            blocks=(1, 1, 1),
            hyper_hidden=16,
            hyper_groups=2,
            hyper_blocks=1,
            latent_channels=64,
        ),
        "conditioning": Conditioning.BOTH,
    }
)
CONFIGS = [
    *(
        pytest.param(each, id=name, marks=[pytest.mark.slow] * (name in ("paper", "dkic")))
        for name, each in PRESETS.items()
    ),
    pytest.param(TCM, id="as paper, but small"),
    pytest.param(DYNAMIC, id="as dkic, but small"),
]


@pytest.fixture(scope="module", params=CONFIGS)
def codec(request: pytest.FixtureRequest) -> Codec:
    """An untrained model that was frozen on two small crops, with references."""
    torch.manual_seed(0)
    config = request.param
    model = CompressionModel(config).eval()
    with torch.no_grad():
        entries = torch.cat([model.g_a(to_tensor(picture(seed, 256, 256)[None])) for seed in range(config.references)])
    crop = to_tensor(picture(5, 64, 64)[None])
    model.freeze([CalibrationCrop(crop, None, 1.0), CalibrationCrop(crop, entries[None], 100.0)])
    values, exponents = quantise(entries)
    latents = ReferenceLatents(values.numpy(), exponents.numpy(), DICTIONARY_ID, MODEL_ID)
    return Codec(model, MODEL_ID, latents, FirstEntries())


@pytest.mark.parametrize("size", [(1, 1), (70, 130)])
@pytest.mark.parametrize("references", [False, True])
def test_any_image_comes_back(codec: Codec, size: tuple[int, int], references: bool) -> None:
    image = picture(1)[: size[0], : size[1]]
    data = codec.compress(image, quality=50, references=references, always=True)
    assert describe(data)["references"] == (3 if references else 0)
    decoded = codec.decompress(data)
    assert decoded.shape == image.shape
    if not references:  # before training, fusion mixes pictures that have nothing to do with each other
        assert np.abs(decoded.astype(float) - image).mean() < 25
