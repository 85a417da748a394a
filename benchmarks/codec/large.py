"""A large photo: seconds and peak memory of encoding and of decoding, each in a process of its own.

The photo is tiled from the first photo of the source, mirrored so that it has no seams, four by three. Limit: 3 GB each
without references.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks.codec import subject
from benchmarks.printing import peak_memory, print_table
from clc.api import StoreCodec
from clc.images import read_image
from clc.store import Kind
from clc.store.shipped import LayeredStore
from clc.store_decoder import StoreDecoder

_LIMIT = 3e9
_WITH, _WITHOUT, _DECODE = "encode with references", "encode without", "decode"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --megapixels, --references, --quality, --threads."""
    subject.add_options(parser)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12.0, 24.0, 100.0])
    parser.add_argument("--references", action="store_true", help="encode with references, too, and decode that")
    parser.add_argument("--quality", type=float, default=50.0)
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Print a table a size; 1 if coding without references needs more memory than promised."""
    opened = subject.open_subject(options)
    options.limit = 1
    (photo,) = subject.open_photos(options)
    versions = [opened.store.url, opened.model.id, opened.dictionary.id, str(options.threads), str(options.quality)]
    too_much = False
    for megapixels in options.megapixels:
        height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
        width = round(megapixels * 1e6 / height)
        rows: list[list[object]] = []
        with TemporaryDirectory() as folder:
            picture, stream = Path(folder, "photo.png"), Path(folder, "photo.clc")
            padding = [(0, max(0, height - photo.pixels.shape[0])), (0, max(0, width - photo.pixels.shape[1])), (0, 0)]
            tiled = np.pad(photo.pixels, padding, mode="symmetric")[:height, :width]
            Image.fromarray(tiled).save(picture, compress_level=1)
            del tiled
            for what in (_WITHOUT, _DECODE, *([_WITH, _DECODE] if options.references else [])):
                seconds, cpu, peak = _measure([what, *versions, str(picture), str(stream)])
                rows.append([f"{width}×{height}", what, seconds, cpu, peak / 1e9, stream.stat().st_size])
                too_much |= peak > _LIMIT and not options.references
        print_table(["pixels", "", "seconds", "CPU seconds", "peak GB", "bytes"], rows)
    return int(too_much)


def _measure(arguments: list[str]) -> tuple[float, float, int]:
    command = [sys.executable, "-m", __name__, *arguments]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu, peak = json.loads(finished.stdout)
    return seconds, cpu, peak


def _main() -> None:
    what, store, model, dictionary, threads, quality, picture, stream = sys.argv[1:]
    torch.set_num_threads(int(threads))
    opened = LayeredStore(store)
    if what == _DECODE:
        data = Path(stream).read_bytes()
        started = time.perf_counter(), time.process_time()
        StoreDecoder(opened).decompress(data)
    else:
        versions = opened.get(Kind.MODEL, model), opened.get(Kind.DICTIONARY, dictionary)
        if what == _WITH:  # in any case
            codec = subject.Subject(opened, *versions).codec()
            compress = partial(codec.compress, references=True, always=True)
        else:
            compress = partial(StoreCodec(opened, versions[0], None).compress, references=False)
        pixels = read_image(Path(picture))
        started = time.perf_counter(), time.process_time()
        data = compress(pixels, quality=float(quality))
        Path(stream).write_bytes(data)
    taken = time.perf_counter() - started[0], time.process_time() - started[1]
    print(json.dumps([*taken, peak_memory()]))


if __name__ == "__main__":
    _main()
