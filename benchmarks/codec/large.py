"""A 4000×3000 photo: seconds and peak memory of encoding and of decoding, each in a process of its own.

The photo is tiled from the first photo of the source, mirrored so that it has no seams. Limit: 6 GB each.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks.codec import subject
from benchmarks.printing import peak_memory, print_table
from clc.api import StoreDecoder
from clc.images import read_image
from clc.store import Kind
from clc.store.shipped import LayeredStore

_WIDTH, _HEIGHT = 4000, 3000
_LIMIT = 6e9


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options and --threads."""
    subject.add_options(parser)
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if either needs more memory than promised."""
    opened = subject.open_subject(options)
    options.limit = 1
    (photo,) = subject.open_photos(options)
    versions = [opened.store.url, opened.model.id, opened.dictionary.id, str(options.threads)]
    with TemporaryDirectory() as folder:
        picture, stream = Path(folder, "photo.png"), Path(folder, "photo.clc")
        height, width = photo.pixels.shape[:2]
        padding = [(0, max(0, _HEIGHT - height)), (0, max(0, _WIDTH - width)), (0, 0)]
        tiled = np.pad(photo.pixels, padding, mode="symmetric")[:_HEIGHT, :_WIDTH]
        Image.fromarray(tiled).save(picture, compress_level=1)
        rows = [
            [what, *_measure([what, *versions, str(picture), str(stream)])]
            for what in ("encode with references", "encode without", "decode")
        ]
    print_table(["", "seconds", "peak GB"], [[what, seconds, peak / 1e9] for what, seconds, peak in rows])
    return int(any(peak > _LIMIT for _, _, peak in rows))


def _measure(arguments: list[str]) -> tuple[float, int]:
    command = [sys.executable, "-m", __name__, *arguments]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = json.loads(finished.stdout)
    return seconds, peak


def _main() -> None:
    what, store, model, dictionary, threads, picture, stream = sys.argv[1:]
    torch.set_num_threads(int(threads))
    opened = LayeredStore(store)
    if what == "decode":
        data = Path(stream).read_bytes()
        started = time.perf_counter()
        StoreDecoder(opened).decompress(data)
    else:
        versions = opened.get(Kind.MODEL, model), opened.get(Kind.DICTIONARY, dictionary)
        codec = subject.Subject(opened, *versions).codec()
        pixels = read_image(Path(picture))
        started = time.perf_counter()
        data = codec.compress(pixels, references=what == "encode with references", always=True)
        if what == "encode with references":
            Path(stream).write_bytes(data)
    print(json.dumps([time.perf_counter() - started, peak_memory()]))


if __name__ == "__main__":
    _main()
