"""Stage `features` against its network alone: patches a second, with the decoding, pooling and writing around it.

The stage is timed from its first patch to the published version; opening the backbone, which takes as long for ten
patches as for a million, is shown beside it. The bare network is the trunk of a ResNet-50 over tensors that lie in
memory, in batches of the same size and memory format and with the same threads. Rounds alternate which comes first.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from benchmarks.printing import print_machine, print_table
from clc.dictionary.stages.features import FeatureConfig, extract, patch_batches
from clc.dictionary.stages.patches import CropConfig, crop
from clc.images import open_source
from clc.model.tiles import to_tensor
from clc.store import Store, Version

_TARGET = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--per-photo", type=int, default=13, help="patches of each of the ten bundled photos")
    parser.add_argument("--rounds", type=int, default=3)


def run(arguments: argparse.Namespace) -> None:
    """Measure both ways in turn. Ends the program with 1 if the stage is too slow."""
    print_machine()
    bare, stage, opening = [], [], []
    with TemporaryDirectory() as folder:
        photos = Store(Path(folder, "photos"))
        patches = crop(open_source("bundled"), config=CropConfig(per_photo=arguments.per_photo), store=photos).version
        batches = [_prepared(to_tensor(pixels)) for pixels in patch_batches(patches, range(patches.rows("patches")))]
        trunk = _trunk()
        _forward(trunk, [batches[0], batches[-1]])  # both shapes: the first of each is planned, not only computed
        for number in range(arguments.rounds):
            for leg in ("bare", "stage") if number % 2 else ("stage", "bare"):
                if leg == "bare":
                    bare.append(_forward(trunk, batches))
                else:
                    seconds, opened = _extract(patches, Store(Path(folder, f"round-{number}")))
                    stage.append(seconds)
                    opening.append(opened)
    rows = patches.rows("patches")
    ratio = median(bare) / median(stage)
    batch, threads = len(batches[0]), torch.get_num_threads()
    print(f"{rows} patches of 256x256, batches of {batch}, {threads} threads, medians of rounds\n")
    print_table(
        ["", "seconds", "patches/s", "against bare"],
        [
            ["bare ResNet-50 trunk", median(bare), rows / median(bare), 1.0],
            ["stage `features`", median(stage), rows / median(stage), ratio],
            ["opening the backbone, once", median(opening), "", ""],
        ],
    )
    if ratio < _TARGET:
        sys.exit(f"missed: {ratio:.3f} of the bare network's speed, the target is {_TARGET}")


def _prepared(images: Tensor) -> Tensor:
    """Normalised about as the backbone does it, so that the network computes on numbers of the usual size."""
    return ((images - 0.45) / 0.226).contiguous(memory_format=torch.channels_last)


def _trunk() -> nn.Module:
    from torchvision.models import resnet50

    trunk = nn.Sequential(*list(resnet50(weights=None).children())[:-2])
    return trunk.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def _forward(trunk: nn.Module, batches: list[Tensor]) -> float:
    """Seconds."""
    start = time.perf_counter()
    for images in batches:
        trunk(images)
    return time.perf_counter() - start


def _extract(patches: Version, store: Store) -> tuple[float, float]:
    """Seconds of the stage, and what came before it: opening the backbone."""
    start = time.perf_counter()
    result = extract(patches, config=FeatureConfig(backbone="random:0"), store=store)
    return result.seconds, time.perf_counter() - start - result.seconds
