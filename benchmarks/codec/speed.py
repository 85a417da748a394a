"""Seconds to encode and decode a 768×512 photo, beside two of CompressAI's models.

mbt2018-mean is CompressAI's usual fast model (quality 1 has 192 latent channels, quality 8 has 320); cheng2020-anchor
decodes position by position (quality 3 has 128 channels, quality 6 has 192). All have random weights, so their rates
mean nothing, but every layer and every symbol is computed as with trained ones. One process, the same image and
settings for all, runs interleaved, medians. From pixels to bytes and back; encoding includes retrieval.

The targets are of the file that `compress` writes, which has references if they pay; what decoding takes if all tiles
have them in any case is measured beside it.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from compressai.zoo import cheng2020_anchor, mbt2018_mean
from numpy.typing import NDArray

from benchmarks.codec import subject
from benchmarks.codec.timing import interleaved_medians
from benchmarks.printing import print_table
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.errors import SourceError
from clc.evaluation.codecs.builtin import Clc
from clc.images import Photo
from clc.model.tiles import to_tensor

_HEIGHT, _WIDTH = 512, 768
_QUALITY = 50.0
_EVERYWHERE = "clc, references everywhere"
_TARGETS = {"mbt2018-mean, quality 8": 2.0, "cheng2020-anchor, quality 6": 20.0}
"""How many times faster decoding must be than each rival."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --rounds and --threads."""
    subject.add_options(parser)
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each codec")
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Print a row per codec; 1 if a target is missed."""
    torch.set_num_threads(options.threads)
    codec = subject.open_subject(options).codec()
    image = _crop(subject.open_photos(options))
    rivals: dict[str, _Rival] = {
        "clc": Clc(codec),
        _EVERYWHERE: _Everywhere(codec),
        "clc, no references": Clc(codec, references=False),
        "mbt2018-mean, quality 8": _CompressAI(mbt2018_mean, 8),
        "mbt2018-mean, quality 1": _CompressAI(mbt2018_mean, 1),
        "cheng2020-anchor, quality 6": _CompressAI(cheng2020_anchor, 6),
        "cheng2020-anchor, quality 3": _CompressAI(cheng2020_anchor, 3),
    }
    streams = {name: rival.encode(image, _QUALITY) for name, rival in rivals.items()}
    encode = interleaved_medians(
        {name: partial(rival.encode, image, _QUALITY) for name, rival in rivals.items()}, options.rounds
    )
    decode = interleaved_medians(
        {name: partial(rival.decode, streams[name]) for name, rival in rivals.items()}, options.rounds
    )
    rows: list[list[object]] = []
    missed = []
    for name in rivals:
        ratio, target = decode[name] / decode["clc"], _TARGETS.get(name)
        everywhere = decode[name] / decode[_EVERYWHERE]
        rows.append([name, encode[name], decode[name], encode[name] / encode["clc"], ratio, target or "", everywhere])
        if target and ratio < target:
            missed.append(name)
    header = Bitstream.from_bytes(streams["clc"]).header
    print(f"\n{_WIDTH}×{_HEIGHT}, {options.threads} threads, clc at quality {_QUALITY:g}, {options.rounds} rounds")
    print(f"references of each tile in the file of clc: {header.references}\n")
    columns = ["codec", "encode, s", "decode, s", "encode / clc", "decode / clc", "target", f"decode / {_EVERYWHERE}"]
    print_table(columns, rows)
    if missed:
        print(f"missed: {'; '.join(missed)}")
    return bool(missed)


class _Rival(Protocol):
    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes | dict: ...

    def decode(self, data: bytes | dict) -> NDArray[np.uint8]: ...


@dataclass
class _Everywhere:
    """References in all tiles, whether they pay or not."""

    codec: Codec

    def encode(self, image: NDArray[np.uint8], quality: float) -> bytes:
        return self.codec.compress(image, quality=quality, always=True)

    def decode(self, data: bytes | dict) -> NDArray[np.uint8]:
        assert isinstance(data, bytes)
        return self.codec.decompress(data)


@dataclass
class _CompressAI:
    """A model with random weights; its `quality` says how wide it is, the one that it encodes at plays no part."""

    architecture: Callable[..., torch.nn.Module]
    quality: int

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self._model = self.architecture(self.quality, pretrained=False).eval()
        self._model.update(force=True)

    @torch.inference_mode()
    def encode(self, image: NDArray[np.uint8], quality: float) -> dict:
        return self._model.compress(to_tensor(image[None]))

    @torch.inference_mode()
    def decode(self, data: dict) -> NDArray[np.uint8]:
        pixels = self._model.decompress(**data)["x_hat"][0] * 255.0
        return torch.round(pixels).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _crop(photos: list[Photo]) -> NDArray[np.uint8]:
    """The top left of the first photo that is large enough."""
    for photo in photos:
        if photo.pixels.shape[0] >= _HEIGHT and photo.pixels.shape[1] >= _WIDTH:
            return photo.pixels[:_HEIGHT, :_WIDTH]
    raise SourceError(f"no photo has {_WIDTH}×{_HEIGHT} pixels; name others with --source")
