"""The synthesis g_s by other runtimes: PyTorch, OpenVINO and ONNX Runtime, in float32 and int8.

g_s is nearly all of what a decoder computes after the last symbol, in ordinary floating point, so another runtime could
compute it. Seconds are medians of runs in turn, on the latent of the first photo; decibels are those by which the
pictures of all photos, which have one size, differ in PSNR from PyTorch's in float32. int8 is calibrated with the
latents of `--calibration` photos that are not among them. A runtime would be worth it at 1.5 times the speed of
PyTorch without bfloat16 and at most 0.02 dB.

OpenVINO and ONNX Runtime are no dependencies of CLC: pip install openvino nncf onnx onnxruntime onnxscript, in an
environment of their own. What is not there has no row. `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` shows PyTorch
and OpenVINO a processor with AVX2 only.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.codec import subject
from benchmarks.codec.batch import decoded_latents
from benchmarks.codec.timing import interleaved_medians
from benchmarks.data import training_photos
from benchmarks.printing import print_table
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.images.psnr import psnr
from clc.model.transforms.convolutional import for_inference

_HEIGHT, _WIDTH = 512, 768
_QUALITIES = (50.0, 90.0)

Latent = NDArray[np.float32]
Synthesis = Callable[[Latent], NDArray[np.float32]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --rounds, --threads and --calibration."""
    subject.add_options(parser)
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calibration", type=int, default=24, help="photos of the training packs")


@torch.inference_mode()
def run(options: argparse.Namespace) -> int:
    """Print a row for each runtime."""
    torch.set_num_threads(options.threads)
    codec = subject.open_subject(options).codec()
    photos = [each.pixels for each in subject.open_photos(options) if each.pixels.shape == (_HEIGHT, _WIDTH, 3)]
    other = [np.asarray(each) for each in islice(training_photos((_WIDTH, _HEIGHT)), options.calibration)]
    latents = [_latent(codec, photo, quality) for quality in _QUALITIES for photo in photos]
    calibration = [_latent(codec, photo, quality) for quality in _QUALITIES for photo in other]
    with tempfile.TemporaryDirectory() as folder:
        runtimes = dict(_runtimes(codec.model.g_s, calibration, options.threads, Path(folder)))
        seconds = interleaved_medians(
            {name: partial(synthesis, latents[0]) for name, synthesis in runtimes.items()}, options.rounds
        )
        decibels = _decibels(runtimes, latents, photos)
    plain = next(iter(runtimes))
    print(f"\n{len(photos)} photos of {_WIDTH}×{_HEIGHT}, {options.threads} threads, {options.rounds} rounds\n")
    rows = [
        [
            name,
            seconds[name],
            seconds[plain] / seconds[name],
            np.mean(own - decibels[plain]),
            np.min(own - decibels[plain]),
        ]
        for name, own in decibels.items()
    ]
    print_table(["g_s by", "s", "times as fast", "dB more, mean", "worst"], rows)
    return 0


def _latent(codec: Codec, photo: NDArray[np.uint8], quality: float) -> Latent:
    """What g_s gets [1, C, H/16, W/16]."""
    data = codec.compress(photo, quality=quality, references=False, always=True)
    decoded = decoded_latents(codec.model, [Bitstream.from_bytes(data)])
    refined = codec.model.refine(decoded.latents.float(), decoded.features.float(), quality, codec.model.residual)
    return np.ascontiguousarray(refined.numpy())


def _decibels(
    runtimes: Mapping[str, Synthesis], latents: Sequence[Latent], photos: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float64]]:
    def of(synthesis: Synthesis) -> Iterator[float]:
        for number, latent in enumerate(latents):
            shown = np.rint(np.clip(synthesis(latent)[0], 0.0, 1.0) * 255.0).astype(np.uint8)
            yield psnr(photos[number % len(photos)], shown.transpose(1, 2, 0))

    return {name: np.array(list(of(synthesis))) for name, synthesis in runtimes.items()}


def _runtimes(
    g_s: torch.nn.Module, calibration: Sequence[Latent], threads: int, folder: Path
) -> Iterator[tuple[str, Synthesis]]:
    yield "PyTorch, float32", _by_pytorch(g_s)
    if for_inference(g_s) is not g_s:
        yield "PyTorch, bfloat16 in residual branches", _by_pytorch(for_inference(g_s))
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        return
    path = folder / "g_s.onnx"
    torch.onnx.export(
        g_s, (torch.from_numpy(calibration[0]),), path, input_names=["latent"], dynamo=True, verbose=False
    )
    if importlib.util.find_spec("onnxruntime"):
        yield "ONNX Runtime, float32", _by_onnx_runtime(path, threads)
        yield "ONNX Runtime, int8", _by_onnx_runtime(_quantised(path, calibration), threads)
    if importlib.util.find_spec("openvino"):
        import openvino

        model = openvino.Core().read_model(path)
        yield "OpenVINO, float32", _by_openvino(model, threads)
        if importlib.util.find_spec("nncf"):
            import nncf

            quantised = nncf.quantize(model, nncf.Dataset(list(calibration)), subset_size=len(calibration))
            yield "OpenVINO, int8", _by_openvino(quantised, threads)


def _by_pytorch(g_s: torch.nn.Module) -> Synthesis:
    def synthesis(latent: Latent) -> NDArray[np.float32]:
        result: NDArray[np.float32] = g_s(torch.from_numpy(latent).to(memory_format=torch.channels_last)).numpy()
        return result

    return synthesis


def _by_onnx_runtime(path: Path, threads: int) -> Synthesis:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda latent: session.run(None, {"latent": latent})[0]


def _quantised(path: Path, calibration: Sequence[Latent]) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._coming = iter(calibration)

        def get_next(self) -> dict[str, Latent] | None:
            latent = next(self._coming, None)
            return None if latent is None else {"latent": latent}

    prepared, quantised = path.with_name("prepared.onnx"), path.with_name("int8.onnx")
    quant_pre_process(path, prepared)
    quantize_static(
        prepared,
        quantised,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return quantised


def _by_openvino(model: Any, threads: int) -> Synthesis:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda latent: np.asarray(compiled(latent)[0])
