"""What decoding a picture exactly, instead of in ordinary floating point, changes, and what it costs.

Photos are coded without references, and each stream is decoded both ways. CPU seconds are those of what comes after the
decoded latent, on one thread.
"""

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.codec import subject
from benchmarks.codec.batch import DecodedLatents, decoded_latents
from benchmarks.printing import print_table
from clc.codec.bitstream import Bitstream
from clc.images.psnr import psnr
from clc.model.exact.synthesis import ExactSynthesis
from clc.model.network import CompressionModel
from clc.model.transforms.convolutional import for_inference

_QUALITIES = (50.0, 75.0, 90.0, 100.0)

add_options = subject.add_options


@torch.inference_mode()
def run(options: argparse.Namespace) -> int:
    """Print a row per quality."""
    torch.set_num_threads(1)
    codec = subject.open_subject(options).codec()
    photos = subject.open_photos(options)
    megapixels = sum(photo.pixels[..., 0].size for photo in photos) / 1e6
    print(f"{len(photos)} photos, {megapixels:.1f} megapixels\n")
    ordinary, exact = _Ordinary(codec.model), ExactSynthesis(codec.model)
    rows = []
    for quality in _QUALITIES:
        differences: list[float] = []
        unlike: list[float] = []
        largest = 0
        seconds = np.zeros(2)
        for photo in photos:
            height, width = photo.pixels.shape[:2]
            size = height, width
            data = codec.compress(photo.pixels, quality=quality, references=False, always=True)
            latents = decoded_latents(codec.model, [Bitstream.from_bytes(data)])
            start = time.process_time()
            one = ordinary(latents, quality, size)
            middle = time.process_time()
            other = exact(latents.latents, latents.features, quality, size)[0]
            seconds += (middle - start, time.process_time() - middle)
            differences.append(psnr(photo.pixels, other) - psnr(photo.pixels, one))
            unlike.append(float((one != other).mean()))
            largest = max(largest, int(np.abs(one.astype(int) - other).max()))
        rows.append(
            [
                f"{quality:g}",
                float(np.mean(differences)),
                float(np.abs(differences).max()),
                f"{np.mean(unlike):.1%}",
                largest,
                *(seconds / megapixels),
            ]
        )
    heading = ["quality", "dB more, mean", "largest difference, dB", "values that differ", "by at most"]
    print_table([*heading, "CPU s a megapixel, ordinary", "exact"], rows)
    return 0


class _Ordinary:
    """What a decoder does when nothing refers to its picture."""

    def __init__(self, model: CompressionModel) -> None:
        self._model = model
        self._residual, self._g_s = for_inference(model.residual), for_inference(model.g_s)

    def __call__(self, decoded: DecodedLatents, quality: float, size: tuple[int, ...]) -> NDArray[np.uint8]:
        latents, features = (
            each.to(torch.float32, memory_format=torch.channels_last) for each in (decoded.latents, decoded.features)
        )
        image = self._g_s(self._model.refine(latents, features, quality, self._residual))
        shown = torch.round(image[0, :, : size[0], : size[1]].clamp(0.0, 1.0) * 255.0)
        pixels: NDArray[np.uint8] = shown.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return pixels
