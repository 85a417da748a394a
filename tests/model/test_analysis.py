"""References that a decoder analyses: near enough to g_a's latents, and the same on every machine."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from clc.model.exact.analysis import ExactAnalysis
from clc.model.tiles import to_tensor
from clc.model.transforms.convolutional import ConvolutionalAnalysis, ConvolutionalConfig
from tests.conftest import picture

CONFIG = ConvolutionalConfig(widths=(16, 24, 40), hidden=(16, 16, 16), blocks=(1, 1, 1), latent_channels=48)
IN_A_PROCESS = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
torch.backends.mkldnn.enabled = False
from tests.model.test_analysis import digest
print(digest())
"""


def analysis() -> ConvolutionalAnalysis:
    """With weights from NumPy: those of PyTorch's generator depend on the instruction set."""
    generator = np.random.default_rng(0)
    transform = ConvolutionalAnalysis(CONFIG).requires_grad_(False)
    for parameter in transform.parameters():
        spread = parameter[0].numel() ** -0.5
        parameter.copy_(torch.from_numpy(generator.normal(0, spread, parameter.shape)))
    return transform


def digest() -> str:
    latent = ExactAnalysis(analysis())(picture(1, 192, 320))
    return hashlib.sha256(latent.numpy().tobytes()).hexdigest()


def test_it_is_g_a_but_for_rounding() -> None:
    photo = picture(1, 192, 320)
    exact = ExactAnalysis(analysis())(photo)
    with torch.no_grad():
        ordinary = analysis()(to_tensor(photo[None]))
    assert exact.shape == ordinary.shape
    assert (exact - ordinary).abs().max() < 0.01 * ordinary.abs().max()


def test_rows_computed_in_parts_are_those_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digest()
    monkeypatch.setattr("clc.model.exact.analysis._PIXELS_AT_ONCE", 2**10)
    assert digest() == whole


@pytest.mark.medium
@pytest.mark.parametrize(
    ("threads", "capability"), [("2", "default"), pytest.param("1", "avx2", marks=pytest.mark.slow)]
)
def test_other_threads_and_instructions_give_the_same_numbers(threads: str, capability: str) -> None:
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    command = [sys.executable, "-c", IN_A_PROCESS, threads]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert there == digest()


def test_weights_too_large_for_exact_sums_are_refused() -> None:
    transform = analysis()
    transform.layers[1].weight.data[0, 0, 0, 0] = 2.0**15 + 2.0**-20
    transform.layers[1].weight.data[0, 0, 0, 1] = 2.0**-24
    with pytest.raises(ValueError, match="exact sums"):
        ExactAnalysis(transform)
