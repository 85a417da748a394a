"""A photo through every preset: encoded in one process, decoded in another that never saw it.

The weights are random, so sizes mean nothing; what is shown is that every network gives files that come back. The
decoder has a store with model, dictionary and reference latents, and the file. Every way of conditioning is tried with
`tiny`.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.codec import subject
from benchmarks.printing import print_table
from clc.api import load
from clc.codec.artifacts import reference_latents, write_model
from clc.dictionary.build import build_dictionary
from clc.dictionary.retrieval.queries import RetrievalConfig
from clc.dictionary.stages.cluster import ClusterConfig
from clc.dictionary.stages.features import FeatureConfig
from clc.dictionary.stages.index import IndexConfig
from clc.dictionary.stages.patches import CropConfig
from clc.dictionary.stages.reduce import ReduceConfig
from clc.images import open_source
from clc.model.config import Conditioning, ModelConfig, ReferenceSource
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.presets import PRESETS
from clc.model.tiles import TILE_SIZE, to_tensor
from clc.store import Kind, Recipe, Store, Version
from clc.store_decoder import StoreDecoder


def add_options(parser: argparse.ArgumentParser) -> None:
    """--source and --threads."""
    parser.add_argument("--source", help="the first photo of this source spec; default: the pack kodak")
    parser.add_argument("--threads", type=int, default=2)
    parser.set_defaults(limit=1)


def run(options: argparse.Namespace) -> int:
    """Print a row per network; 1 if a decoder's picture is not the encoder's."""
    torch.set_num_threads(options.threads)
    (photo,) = subject.open_photos(options)
    rows = []
    with TemporaryDirectory() as folder:
        store, stream = Store(Path(folder, "store")), Path(folder, "photo.clc")
        dictionary = _dictionary(store)
        for name, config in _networks():
            model = _publish(store, config, dictionary, photo.pixels)
            if config.takes_references:
                reference_latents(dictionary, model, store=store)
            codec = load(model.id, store=store)
            started = time.perf_counter()
            stream.write_bytes(codec.compress(photo.pixels, references=config.takes_references))
            encoded = time.perf_counter() - started
            seconds, digest = _decode_elsewhere(store, stream, options.threads)
            same = digest == _digest(np.asarray(codec.decompress(stream.read_bytes())))
            rows.append([name, stream.stat().st_size, encoded, seconds, "yes" if same else "NO"])
    height, width = photo.pixels.shape[:2]
    print(f"\n{photo.image_id}, {width}×{height}\n")
    print_table(["network", "bytes", "encode, s", "decode, s", "the same in another process"], rows)
    return int(any(row[-1] != "yes" for row in rows))


def _networks() -> Iterator[tuple[str, ModelConfig]]:
    yield from PRESETS.items()
    for conditioning in Conditioning:
        for source in ReferenceSource if conditioning is not Conditioning.NONE else [ReferenceSource.RETRIEVED]:
            changes = {"conditioning": conditioning, "reference_source": source}
            yield f"tiny, {conditioning}, {source}", PRESETS["tiny"].model_copy(update=changes)


def _dictionary(store: Store) -> Version:
    return build_dictionary(
        open_source("bundled?limit=3"),
        crop_config=CropConfig(),
        feature_config=FeatureConfig(backbone="hog"),
        reduce_config=ReduceConfig(dim=8),
        cluster_config=ClusterConfig(entries=8),
        index_config=IndexConfig(),
        store=store,
    ).version


def _publish(store: Store, config: ModelConfig, dictionary: Version, pixels: NDArray[np.uint8]) -> Version:
    torch.manual_seed(0)
    model = CompressionModel(config)
    crop = to_tensor(pixels[None, :TILE_SIZE, :TILE_SIZE])
    with torch.no_grad():
        references = model.g_a(crop).expand(config.references, -1, -1, -1)[None]
    model.freeze([CalibrationCrop(crop, references, quality) for quality in (1.0, 50.0, 100.0)])
    recipe = Recipe(stage="random", stage_version=1, config=config.model_dump(mode="json"))
    with store.draft(Kind.MODEL, recipe) as draft:
        write_model(draft, model)
        draft.attributes |= {"dictionary": dictionary.id, "retrieval": RetrievalConfig().model_dump(mode="json")}
        return draft.publish()


def _decode_elsewhere(store: Store, stream: Path, threads: int) -> tuple[float, str]:
    command = [sys.executable, "-m", __name__, store.url, str(stream), str(threads)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, digest = json.loads(finished.stdout)
    return seconds, digest


def _digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _main() -> None:
    store, stream, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    decoder, data = StoreDecoder(Store(store)), Path(stream).read_bytes()
    started = time.perf_counter()
    picture = decoder.decompress(data)
    print(json.dumps([time.perf_counter() - started, _digest(np.asarray(picture))]))


if __name__ == "__main__":
    _main()
