"""`python -m benchmarks.blending`: what it saves that a picture is blended with its references, and what time it takes.

For each scene of the pack `collection-sites`, a dictionary is made of the photos of split `reference`, as
`benchmarks.collections` makes it, and those of split `test` are coded with it at several qualities. Each stream is
decoded twice: as it is, and as it would be without blending, with the photos that the prior knows. `saved` is the rate
at equal PSNR over both mean curves; `s` is the time of decoding, references at hand, the median of the photos,
and `s alone` that of the photo without any references.

References were chosen by an encoder that blends. Blocks that the safety net coded are left out of both.

`--split reference` codes every third reference photo instead, and the dictionary is made of the others.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.collections import SCENES, coding_ways, parts
from benchmarks.printing import print_machine, print_table
from clc.api import DEFAULT, find_model
from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.encoder import with_alignment
from clc.codec.references.artifact import ReferencesConfig
from clc.codec.references.lookup import stated_alignment
from clc.codec.stream_header import Scope
from clc.evaluation.compare.rate_difference import rate_difference
from clc.images import read_photos
from clc.images.psnr import psnr
from clc.store import copy_version
from clc.store.shipped import LayeredStore


@dataclass(frozen=True)
class Shown:
    """What a decoder makes of a stream."""

    bytes: int
    decibels: float
    seconds: float


@dataclass(frozen=True)
class Measured:
    """A photo at one quality. without: its stream as it would be without blending; alone: without references."""

    is_blended: bool
    alone: Shown
    without: Shown
    shown: Shown


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.blending",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", help="where the model is; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    parser.add_argument("--split", choices=("test", "reference"), default="test", help="photos that are coded")
    parser.add_argument("--limit", type=int, help="code the first LIMIT photos of a scene only")
    parser.add_argument("--meant-for", type=int, default=0, help="photos that references are chosen for; 0: all kept")
    parser.add_argument("--qualities", type=float, nargs="+", default=(10.0, 30.0, 50.0, 70.0, 90.0))
    parser.add_argument("--reference-quality", type=float, default=ReferencesConfig().quality)
    options = parser.parse_args()
    print_machine()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = LayeredStore(Path(folder))
        model = copy_version(find_model(LayeredStore(options.store), options.model), work)
        for scene in options.scenes:
            shown, coded = parts(scene, options.split, None)
            way = coding_ways(shown, model, work, (options.reference_quality,), options.meant_for)[-1]
            photos = [each.pixels for each in islice(read_photos(coded, []), options.limit)]
            found = [_measured(way.codec, photo, options.qualities) for photo in photos]
            _print(scene, options.qualities, list(zip(*found, strict=True)))


def _measured(codec: Codec, photo: NDArray[np.uint8], qualities: Sequence[float]) -> list[Measured]:
    analysis, found = codec.encoder.analyse(photo, references=True), []
    plainly = codec.encoder.analyse(photo, references=False)
    for quality in qualities:
        # Blocks would be added to what they were not made for; nearly no photo has any.
        alone = replace(codec.encoder.code(plainly, quality).stream, blocks=None)
        plain = stream = replace(codec.encoder.code(analysis, quality).stream, blocks=None)
        alignment = stated_alignment(stream)
        if alignment is not None and stream.header.is_blended:
            plain = with_alignment(stream, alignment.first(stream.header.known), Scope.ALIGNED)
        shown = (_shown(codec, photo, each) for each in (alone, plain, stream))
        found.append(Measured(plain is not stream, *shown))
    return found


def _shown(codec: Codec, photo: NDArray[np.uint8], stream: Bitstream) -> Shown:
    data = stream.to_bytes()
    codec.decompress(data)
    start = time.perf_counter()
    picture = codec.decompress(data)
    seconds = time.perf_counter() - start
    return Shown(len(data), psnr(photo, picture), seconds)


def _print(scene: str, qualities: Sequence[float], found: Sequence[Sequence[Measured]]) -> None:
    rows: list[tuple[str, ...]] = []
    plain: list[tuple[float, float]] = []
    blended: list[tuple[float, float]] = []
    for quality, photos in zip(qualities, found, strict=True):
        alone, before, after = (
            [each.alone for each in photos],
            [each.without for each in photos],
            [each.shown for each in photos],
        )
        sizes = [statistics.fmean(each.bytes for each in way) for way in (before, after)]
        decibels = [statistics.fmean(each.decibels for each in way) for way in (before, after)]
        seconds = [statistics.median(each.seconds for each in way) for way in (alone, before, after)]
        plain.append((sizes[0], decibels[0]))
        blended.append((sizes[1], decibels[1]))
        number = sum(each.is_blended for each in photos)
        shown = (f"{each:.2f}" for each in (*decibels, *seconds))
        rows.append((f"{quality:g}", f"{number} of {len(photos)}", f"{sizes[1]:,.0f}", *shown))
    print(f"{scene}\n")
    print_table(("quality", "blended", "bytes a photo", "dB without", "dB", "s alone", "s without", "s"), rows)
    saved = rate_difference(plain, blended)
    print(f"rate at equal PSNR, against without: {'-' if saved is None else f'{100 * saved.mean:+.1f} %'}\n")


if __name__ == "__main__":
    main()
