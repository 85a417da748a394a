"""`CLC_DATA=… python -m benchmarks.exposure`: what it saves a photo that its key photo is shown in its light.

Photos of a training pack, each with itself at another exposure as its key photo, as in a bracketed series; and pairs of
photos of fixed cameras (split `reference`), in whatever light they were taken. The key photo is coded alone, some steps
finer; the photo with it, in the key photo's own light and as the encoder chooses.
"""

import argparse
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.data import pack
from benchmarks.parallax import coded
from benchmarks.printing import print_machine, print_table
from clc.api import DEFAULT, find_model
from clc.archive.packer import finer
from clc.codec.artifacts import read_model
from clc.codec.decisions.targets import Target
from clc.codec.key_codec import KeyCodec
from clc.codec.references.protocols import Alignment, NamedPhotos
from clc.dictionary.retrieval.align import PhotoAligner
from clc.images import open_source, read_photos
from clc.store.shipped import LayeredStore

_GAMMA = 2.2
_STOPS = (-1.0, -0.5, 0.5, 1.0)


class _InTheirOwnLight:
    """An aligner that leaves key photos as they are."""

    def __init__(self, photos: NamedPhotos) -> None:
        self._aligner = PhotoAligner(photos)

    def align(self, image: NDArray[np.uint8], candidates: NDArray[np.int64], number: int) -> Alignment | None:
        found = self._aligner.align(image, candidates, number)
        return found if found is None else found.in_own_light or found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.exposure",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--photos", type=int, default=4, help="of the pack train-0")
    parser.add_argument("--scenes", nargs="*", default=("ams", "museum"))
    parser.add_argument("--pairs", type=int, default=8, help="of each scene")
    parser.add_argument("--quality", type=float, default=45.0)
    parser.add_argument("--finer", type=float, default=30.0, help="steps by which the key photo is finer")
    options = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    model = find_model(LayeredStore(options.store), options.model)
    network = read_model(model)
    own, chosen = (KeyCodec(network, model.short_id, aligner=each) for each in (_InTheirOwnLight, PhotoAligner))
    fine = finer(Target.choose(options.quality), options.finer)
    rows = []
    for name, photo, other in _pairs(options):
        key = own.compress_to(other, fine)[0].data
        ([plain], _), ([lit], section) = (
            coded(codec, photo, key, [options.quality], "light") for codec in (own, chosen)
        )
        rows.append((name, *plain, *lit, section, 1 - lit[0] / plain[0], lit[1] - plain[1]))
    heading = ("photo, key photo", "bytes", "dB", "bytes as chosen", "dB", "light, bytes", "fewer", "dB more")
    print_table(heading, [(*row[:-2], f"{row[-2]:.1%}", row[-1]) for row in rows])
    for group in dict.fromkeys(name.split()[0] for name, *_ in rows):
        fewer, better = zip(*(row[-2:] for row in rows if row[0].split()[0] == group), strict=True)
        print(f"{group}: {np.mean(fewer):.1%} fewer bytes ({min(fewer):.1%} to {max(fewer):.1%}), ", end="")
        print(f"{np.mean(better):.2f} dB more ({min(better):.2f} to {max(better):.2f})")


def _pairs(options: argparse.Namespace) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
    for number, photo in enumerate(islice(read_photos(open_source(pack("train-0")), []), options.photos)):
        for stops in _STOPS:
            yield f"bracketed {number}, {stops:+g} stops", photo.pixels, _exposed(photo.pixels, stops)
    for scene in options.scenes:
        source = open_source(f"{pack('collection-sites')}?scene={scene}&split=reference")
        photos = [each.pixels for each in read_photos(source, [])]
        generator = np.random.default_rng(0)
        for _ in range(options.pairs):
            first, second = (int(each) for each in generator.choice(len(photos), 2, replace=False))
            yield f"{scene} {first}, {second}", photos[first], photos[second]


def _exposed(photo: NDArray[np.uint8], stops: float) -> NDArray[np.uint8]:
    """About as a camera has it that gathers 2^stops times the light."""
    linear = (photo / 255.0) ** _GAMMA * 2.0**stops
    return np.rint(255 * linear.clip(0, 1) ** (1 / _GAMMA)).astype(np.uint8)


if __name__ == "__main__":
    main()
