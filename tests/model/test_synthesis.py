"""Pictures that streams refer to: near enough to what an ordinary decoder shows, and the same on every machine."""

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clc.errors import ProfileError
from clc.model.conditioning.latent_matching import MatchingConfig
from clc.model.config import Conditioning, ModelConfig, ReferenceSource
from clc.model.exact.synthesis import ExactSynthesis
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS
from clc.model.priors.config import PriorConfig
from clc.model.transforms.convolutional import ConvolutionalConfig

CONFIG = ModelConfig(
    transform=ConvolutionalConfig(widths=(16, 24, 40), hidden=(16, 16, 16), blocks=(1, 1, 2), latent_channels=48),
    prior=PriorConfig(hyper_channels=8, hyper_width=16, slices=(16, 32), slice_width=16),
    matching=MatchingConfig(embedding=16, width=16, groups=4, scales=1),
    conditioning=Conditioning.NONE,
)
QUALITY = 62.3
GOLDEN = "9fbb07b630a8e60b8815451ca9a69819d516117c1ffc9f94b622f6b191a1005d"
"""SHA-256 of the pixels of `picture_of(0)`. Were they others, streams that refer to pictures could not be decoded."""
IN_A_PROCESS = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
torch.backends.mkldnn.enabled = False
from tests.model.test_synthesis import digest
print(digest())
"""


def numbers(seed: int, *shape: int) -> Tensor:
    """Multiples of 2^-15 in -1..1. Only the raw bits of NumPy's generators are the same in all its versions."""
    bits = np.random.PCG64(seed).random_raw(math.prod(shape)) >> np.uint64(48)
    return torch.from_numpy(bits.astype(np.float64).reshape(shape)) * 2.0**-15 - 1.0


def model() -> CompressionModel:
    """Frozen, with weights that no library has a say in."""
    network = CompressionModel(CONFIG)
    crop = torch.zeros(1, 3, 64, 64)
    network.freeze([CalibrationCrop(crop, None, QUALITY)])
    parameters = [*network.g_s.named_parameters(), *network.residual.named_parameters()]
    for seed, (name, parameter) in enumerate(parameters):
        scale = 0.1 if name.endswith("bias") else math.sqrt(2 / parameter[0].numel())
        parameter.copy_(numbers(seed, *parameter.shape) * scale)
    stem = network.g_s.get_parameter("layers.9.weight")
    stem.copy_(stem * 0.4)
    for offset, levels in enumerate((network.gain.log_gain, network.gain.log_inverse_gain)):
        levels.copy_(levels + 0.25 * numbers(50 + offset, *levels.shape))
    network.gain.freeze()
    network.prior.scale.deviation.copy_(torch.floor(1024 * (1.5 + numbers(60, 48))) / 1024)
    return network


def latent(seed: int, height: int = 8, width: int = 12) -> tuple[Tensor, Tensor]:
    """A decoded latent in steps of 2^-6, and hyper features in steps of 2^-8."""
    decoded = torch.floor(2**6 * 12 * numbers(100 + seed, 1, 48, height, width)) * 2.0**-6
    features = torch.floor(2**8 * 2 * numbers(200 + seed, 1, 17, height, width)).clamp(min=0.0) * 2.0**-8
    return decoded, features


def picture_of(seed: int, network: CompressionModel | None = None) -> NDArray[np.uint8]:
    return ExactSynthesis(network or model())(*latent(seed), QUALITY)[0]


def digest() -> str:
    return hashlib.sha256(picture_of(0).tobytes()).hexdigest()


def ordinary(network: CompressionModel, decoded: Tensor, features: Tensor) -> NDArray[np.float32]:
    """In levels of 255, not rounded."""
    with torch.inference_mode():
        image = network.g_s(network.refine(decoded.float(), features.float(), QUALITY))
    levels: NDArray[np.float32] = (image[0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    return levels


def test_it_is_what_an_ordinary_decoder_shows_but_for_rounding() -> None:
    network = model()
    exact = picture_of(0, network).astype(np.float32)
    expected = ordinary(network, *latent(0))
    assert exact.shape == expected.shape
    assert exact.std() > 40, "the picture shows something"
    assert np.abs(exact - expected).max() < 0.6
    assert np.square(exact - expected).mean() < 0.09  # rounding to pixels alone makes 1/12


def test_the_picture_is_the_one_it_always_was() -> None:
    assert digest() == GOLDEN


@pytest.mark.medium
@pytest.mark.parametrize(
    ("threads", "capability"), [("2", "default"), pytest.param("1", "avx2", marks=pytest.mark.slow)]
)
def test_other_threads_and_instructions_give_the_same_picture(threads: str, capability: str) -> None:
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    command = [sys.executable, "-c", IN_A_PROCESS, threads]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert there == GOLDEN


def test_the_layout_in_memory_does_not_matter() -> None:
    network = model()
    network.use_channels_last()
    decoded, features = (each.to(memory_format=torch.channels_last) for each in latent(0))
    assert np.array_equal(ExactSynthesis(network)(decoded, features, QUALITY)[0], picture_of(0))


def test_the_order_of_sums_does_not_matter() -> None:
    network = model()
    block = network.g_s.layers[1]
    order = torch.randperm(block.conv1.out_channels, generator=torch.Generator().manual_seed(0))
    block.conv1.weight.copy_(block.conv1.weight[order])
    block.conv1.bias.copy_(block.conv1.bias[order])
    block.conv2.weight.copy_(block.conv2.weight[:, order])
    assert np.array_equal(picture_of(0, network), picture_of(0))


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_bands_are_the_whole_in_parts(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = picture_of(0)
    monkeypatch.setattr("clc.model.exact.synthesis._BAND_BYTES", rows * 48 * 12 * 8)
    monkeypatch.setattr("clc.model.exact.winograd._TILE_BYTES", 2**14)
    assert np.array_equal(picture_of(0), whole)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    synthesis = ExactSynthesis(model())
    decoded, features = (torch.cat(each) for each in zip(*(latent(seed) for seed in range(3)), strict=True))
    for seed, shown in enumerate(synthesis(decoded, features, QUALITY)):
        assert np.array_equal(shown, picture_of(seed))


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (17, 3), (63, 33), (64, 64)])
def test_a_size_cuts_the_picture(size: tuple[int, int]) -> None:
    synthesis = ExactSynthesis(model())
    whole = synthesis(*latent(0, 4, 4), QUALITY)[0]
    cut = synthesis(*latent(0, 4, 4), QUALITY, size)[0]
    assert np.array_equal(cut, whole[: size[0], : size[1]])


@pytest.mark.parametrize("extreme", [lambda x: x.sign() * 2000.5, lambda x: torch.full_like(x, 4096.0)])
def test_what_no_photo_gives_saturates_alike(
    extreme: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, features = (extreme(each) for each in latent(0))
    network = model()
    whole = ExactSynthesis(network)(decoded, features.clamp(min=0.0), 1.0)
    monkeypatch.setattr("clc.model.exact.synthesis._BAND_BYTES", 1)
    network.use_channels_last()
    assert np.array_equal(ExactSynthesis(network)(decoded, features.clamp(min=0.0), 1.0), whole)


def test_sums_that_might_round_are_refused() -> None:
    network = model()
    weight = network.g_s.get_parameter("layers.0.weight")
    weight.zero_()
    weight[0] = 2.0**-14
    network.g_s.get_parameter("layers.0.bias")[0] = 2.0**40
    with pytest.raises(ValueError, match="exact sums"):
        ExactSynthesis(network)


def test_models_that_cannot_do_it_are_refused() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ExactSynthesis(CompressionModel(CONFIG))
    learned = {"conditioning": Conditioning.PAPER, "reference_source": ReferenceSource.LEARNED}
    network = CompressionModel(CONFIG.model_copy(update=learned))
    network.freeze([CalibrationCrop(torch.zeros(1, 3, 64, 64), None, QUALITY)])
    with pytest.raises(ProfileError, match="without any"):
        ExactSynthesis(network)
    transformer = PRESETS["paper"].transform.model_copy(
        update={"width": 16, "latent_channels": 48, "head_channels": (4, 4, 4), "hyper_head_channels": 4}
    )
    network = CompressionModel(CONFIG.model_copy(update={"transform": transformer}))
    network.freeze([CalibrationCrop(torch.zeros(1, 3, 64, 64), None, QUALITY)])
    with pytest.raises(ProfileError, match="convolutional"):
        ExactSynthesis(network)
