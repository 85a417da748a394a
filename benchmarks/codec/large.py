"""A large photo: seconds and peak memory of encoding and of decoding, each in a process of its own.

The photo is tiled from the first photo of the source, mirrored so that it has no seams, four by three. Limit: 3 GB each
without references. With `--related N`, the next N photos, tiled in the same way, become a dictionary of photos that can
be aligned with it.
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
from numpy.typing import NDArray
from PIL import Image

from benchmarks.codec import subject
from benchmarks.collections import collection_dictionary
from benchmarks.printing import peak_memory, print_table
from clc.api import StoreCodec
from clc.codec.bitstream import Bitstream
from clc.codec.references.artifact import ReferencesConfig, references
from clc.images import open_source, read_image
from clc.store import Kind, Version, copy_version
from clc.store.shipped import LayeredStore
from clc.store_decoder import StoreDecoder

_LIMIT = 3e9
_WITH, _WITHOUT, _DECODE = "encode with references", "encode without", "decode"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The common options, --megapixels, --references, --quality, --threads."""
    subject.add_options(parser)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12.0, 24.0, 100.0])
    parser.add_argument("--references", action="store_true", help="encode with references, too, and decode that")
    parser.add_argument("--related", type=int, default=0, help="encode with so many other photos of the source, too")
    parser.add_argument("--quality", type=float, default=50.0)
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)


def run(options: argparse.Namespace) -> int:
    """Print a table a size; 1 if coding without references needs more memory than promised."""
    opened = subject.open_subject(options)
    options.limit = 1 + options.related
    photos = [each.pixels for each in subject.open_photos(options)]
    settings = [str(options.threads), str(options.quality), str(options.effort)]
    too_much = False
    for megapixels in options.megapixels:
        height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
        width = round(megapixels * 1e6 / height)
        rows: list[list[object]] = []
        with TemporaryDirectory() as folder:
            picture, others, stream = Path(folder, "photo.png"), Path(folder, "others"), Path(folder, "photo.clc")
            others.mkdir()
            for number, pixels in enumerate(photos):
                _save_tiled(pixels, height, width, others / f"{number}.png" if number else picture)
            jobs = [(_WITHOUT, opened), (_DECODE, opened)]
            if options.references:
                jobs += [(_WITH, opened), (_DECODE, opened)]
            if options.related:
                related = _with_related(opened.model, others, Path(folder, "store"))
                jobs += [(_WITH, related), (_DECODE, related)]
            for what, own in jobs:
                versions = [own.store.url, own.model.id, own.dictionary.id]
                seconds, cpu, peak = _measure([what, *versions, *settings, str(picture), str(stream)])
                data = stream.read_bytes()
                used = Bitstream.from_bytes(data).header.references
                rows.append([f"{width}×{height}", what, used, seconds, cpu, peak / 1e9, len(data)])
                too_much |= peak > _LIMIT and not (options.references or options.related)
        print_table(["pixels", "", "references", "seconds", "CPU seconds", "peak GB", "bytes"], rows)
    return int(too_much)


def _save_tiled(pixels: NDArray[np.uint8], height: int, width: int, path: Path) -> None:
    padding = [(0, max(0, height - pixels.shape[0])), (0, max(0, width - pixels.shape[1])), (0, 0)]
    Image.fromarray(np.pad(pixels, padding, mode="symmetric")[:height, :width]).save(path, compress_level=1)


def _with_related(model: Version, photos: Path, folder: Path) -> subject.Subject:
    """All the photos of a folder as references."""
    store = LayeredStore(str(folder))
    own, shown = copy_version(model, store), open_source(f"folder:{photos}")
    dictionary = collection_dictionary(shown, store, meant_for=0)
    references(dictionary, own, shown, config=ReferencesConfig(effort=0), store=store)
    return subject.Subject(store, own, dictionary)


def _measure(arguments: list[str]) -> tuple[float, float, int]:
    command = [sys.executable, "-m", __name__, *arguments]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu, peak = json.loads(finished.stdout)
    return seconds, cpu, peak


def _main() -> None:
    what, store, model, dictionary, threads, quality, effort, picture, stream = sys.argv[1:]
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
        data = compress(pixels, quality=float(quality), effort=int(effort))
        Path(stream).write_bytes(data)
    taken = time.perf_counter() - started[0], time.process_time() - started[1]
    print(json.dumps([*taken, peak_memory()]))


if __name__ == "__main__":
    _main()
