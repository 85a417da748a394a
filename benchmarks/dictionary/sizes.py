"""Building a dictionary from more and more photos: seconds, memory and disk, and what larger collections would take.

The photos are those of a pack (`CLC_DATA`); each size is built in a process and a store of its own. The rows of a
million and of a hundred million photos are extrapolated: what the largest size took, and for each photo more as much as
a photo took between the two largest sizes. Memory and what follows the features are not: at these sizes they are those
of the libraries and of one batch; `scale` measures them for a million vectors.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.data import pack
from benchmarks.printing import peak_memory, print_machine, print_table

_ENTRIES = 256
_KEY_DIMENSION = 64
_EXTRAPOLATED = (10**6, 10**8)


@dataclass(frozen=True)
class Taken:
    """What a size took. fingerprint to search: seconds; memory, disk: bytes, of the process and of its store."""

    fingerprint: float
    crop: float
    features: float
    search: float
    memory: float
    disk: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--pack", default="train-0")
    parser.add_argument("--photos", type=int, nargs="+", default=[50, 150, 450], help="sizes, ascending")
    parser.add_argument("--backbone", default="hog", help="hog, or random:0 for the time of a ResNet-50")


def run(arguments: argparse.Namespace) -> None:
    """Measure every size, then extrapolate."""
    source = pack(arguments.pack)
    print_machine()
    taken: dict[int, Taken] = {}
    for photos in arguments.photos:
        # A process for each: its peak of memory is of this size alone.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            taken[photos] = process.submit(_build, source, photos, arguments.backbone).result()
    rows = [_row(f"{photos:,}", each) for photos, each in taken.items()]
    if len(taken) > 1:
        rows += [_extrapolated(taken, photos) for photos in _EXTRAPOLATED]
    print_table(
        ["photos", "fingerprint s", "crop s", "features s", "reduce, cluster, index s", "peak GB", "store GB"], rows
    )


def _build(source: str, photos: int, backbone: str) -> Taken:
    from clc.dictionary.stages.cluster import ClusterConfig, cluster
    from clc.dictionary.stages.features import FeatureConfig, extract
    from clc.dictionary.stages.index import IndexConfig, index
    from clc.dictionary.stages.patches import CropConfig, crop
    from clc.dictionary.stages.reduce import ReduceConfig, reduce
    from clc.experiments.data_sets import limited
    from clc.images import fingerprint, open_source
    from clc.store import Store

    opened = open_source(limited(source, photos))
    with TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"))
        start = time.monotonic()
        fingerprint(opened)
        fingerprinted = time.monotonic() - start
        patches = crop(opened, config=CropConfig(), store=store)
        features = extract(patches.version, config=FeatureConfig(backbone=backbone), store=store)
        keys = reduce(features.version, config=ReduceConfig(dim=_KEY_DIMENSION), store=store)
        clusters = cluster(keys.version, config=ClusterConfig(entries=_ENTRIES), store=store)
        entries = index(clusters.version, keys.version, patches.version, config=IndexConfig(), store=store)
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    search = keys.seconds + clusters.seconds + entries.seconds
    return Taken(fingerprinted, patches.seconds, features.seconds, search, peak_memory(), disk)


def _extrapolated(taken: dict[int, Taken], photos: int) -> list[object]:
    """A row of the table, with gaps where these sizes say nothing about larger ones."""
    *_, (few, less), (many, more) = taken.items()
    pairs = zip(astuple(less), astuple(more), strict=True)
    values = [large + max(0.0, large - small) / (many - few) * (photos - many) for small, large in pairs]
    name, fingerprint, crop, features, _, _, disk = _row(f"{photos:,} (extrapolated)", Taken(*values))
    return [name, fingerprint, crop, features, "", "", disk]


def _row(name: str, taken: Taken) -> list[object]:
    *seconds, memory, disk = astuple(taken)
    return [name, *seconds, memory / 1e9, disk / 1e9]
