"""`python -m benchmarks.training_patterns`: what crops that photos seldom show do to a model that goes on training.

The default model trains on with each `pattern_share`, on the same photos, crops and qualities, all without references.
Beside it, `tiny` as its training starts: a linear transform, and a prior that knows nothing.
Measured are the middle tiles of photos of another pack, without references, and `pattern_pictures`: R + λ·255²·MSE in
bits a pixel, rates estimated; PSNR; and PSNR of g_s(g_a(x)) at the finest gain, with nothing quantised in between.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from clc.api import find_model
from clc.codec.artifacts import read_config
from clc.images import open_source, read_photos
from clc.images.patterns import pattern_pictures
from clc.model.gain import QUALITY_MAX, lagrangian
from clc.model.network import CompressionModel
from clc.model.presets import PRESETS
from clc.model.tiles import TILE_SIZE, to_tensor
from clc.model.weights import unpack
from clc.store.shipped import LayeredStore
from clc.training.config import TrainingConfig
from clc.training.data.crops import TrainingSet
from clc.training.data.decoded_photos import TrainingPhoto, decode_photos
from clc.training.data.windows import grid_windows
from clc.training.loop import Trainer
from clc.training.validation import Validation

_QUALITIES = (10.0, 50.0, 90.0)
_VARIANTS = 2  # of each pattern


_HEADING = [
    *("pattern_share", "pictures", *(f"R + λD, quality {quality:g}" for quality in _QUALITIES)),
    *(f"PSNR, quality {_QUALITIES[-1]:g}", "the worst", "PSNR unquantised", "the worst"),
]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="benchmarks.training_patterns", description=__doc__)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.0, 0.04, 0.1])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--photos", type=int, default=100, help="to train on")
    parser.add_argument("--tiles", type=int, default=24, help="photos to measure on")
    options = parser.parse_args()
    photos = decode_photos(open_source(f"{pack('train-2')}?limit={options.photos}"))
    pictures = {"photos": _tiles(options.tiles), "patterns": _patterns()}
    print_machine()
    torch.manual_seed(0)
    rows = _rows("as training starts", CompressionModel(PRESETS["tiny"]), pictures)
    rows += _rows("default model", _default_model(), pictures)
    for share in options.shares:
        config = TrainingConfig(
            steps=options.steps,
            batch=options.batch,
            crop=options.crop,
            learning_rate=options.learning_rate,
            transform_rate=0.25,
            warm_up=options.steps // 10,
            average=0.98,
            pattern_share=share,
            validate_every=options.steps,
        )
        rows += _rows(f"{share:g}", _trained(photos, config), pictures)
    print_table(_HEADING, rows)


def _default_model() -> CompressionModel:
    version = find_model(LayeredStore(None))
    model = CompressionModel(read_config(version))
    model.start_from(unpack(version.tensors("weights"), model))
    model.use_channels_last()
    return model


def _trained(photos: Sequence[TrainingPhoto], config: TrainingConfig) -> CompressionModel:
    model = _default_model()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            data=TrainingSet(photos, grid_windows(photos)),
            pool=None,
            validation=Validation([]),
            config=config,
            folder=Path(folder),
            run="benchmark",
        ).train()
    return model


def _tiles(number: int) -> Tensor:
    """The middle tiles of photos that the default model has not learned from: [number, 3, 256, 256]."""
    tiles = []
    for photo in read_photos(open_source(f"{pack('dictionary')}?limit={number}"), skipped=[]):
        top, left = ((side - TILE_SIZE) // 2 for side in photo.pixels.shape[:2])
        tiles.append(photo.pixels[top : top + TILE_SIZE, left : left + TILE_SIZE])
    return to_tensor(np.stack(tiles))


def _patterns() -> Tensor:
    return to_tensor(np.stack([pixels for _, pixels in pattern_pictures(TILE_SIZE, _VARIANTS)]))


def _rows(share: str, model: CompressionModel, pictures: dict[str, Tensor]) -> list[list[object]]:
    return [[share, kind, *_measured(model, images)] for kind, images in pictures.items()]


@torch.no_grad()
def _measured(model: CompressionModel, images: Tensor) -> list[str]:
    """Of images [n, 3, 256, 256] in [0, 1]: the columns of `_HEADING` after the first two."""
    model.eval()
    losses: list[float] = []
    for quality in _QUALITIES:
        coded, bits = [], 0.0
        for image in images.split(1):
            result = model(image, None, quality)
            assert result.image is not None
            coded.append(_squared_error(result.image, image))
            bits += float((result.latent_bits + result.hyper_bits).sum())
        losses.append(bits / images[:, 0].numel() + lagrangian(quality) * 255.0**2 * float(np.mean(coded)))
    finest = model.gain.gain(QUALITY_MAX) * model.gain.inverse_gain(QUALITY_MAX)
    unquantised = [_squared_error(model.g_s(model.g_a(image) * finest), image) for image in images.split(1)]
    return [*(f"{loss:.3f}" for loss in losses), *_mean_and_worst(coded), *_mean_and_worst(unquantised)]


def _squared_error(picture: Tensor, image: Tensor) -> float:
    """Mean, of values in [0, 1]."""
    return float(torch.mean((picture.clamp(0.0, 1.0) - image) ** 2))


def _mean_and_worst(squared_errors: Sequence[float]) -> tuple[str, str]:
    psnr = [-10.0 * math.log10(max(error, 1e-10)) for error in squared_errors]
    return f"{np.mean(psnr):.2f}", f"{min(psnr):.2f}"


if __name__ == "__main__":
    main()
