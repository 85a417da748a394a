"""What one photo more changes: entries that a rebuild keeps, with and without a dictionary to keep them of.

Target: more are kept than when entries are chosen afresh, and the squared distances of patches to their nearest entry
are at most 1 % larger.
"""

import argparse
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.data import pack
from benchmarks.printing import print_machine, print_table
from clc.dictionary.build import build_dictionary
from clc.dictionary.stages.cluster import ClusterConfig
from clc.dictionary.stages.features import FeatureConfig, vectors_of
from clc.dictionary.stages.index import IndexConfig
from clc.dictionary.stages.patches import CropConfig
from clc.dictionary.stages.reduce import ReduceConfig
from clc.images import open_source
from clc.images.photo import EncodedPhoto
from clc.store import Kind, Store, Version

_ALLOWED = 1.0101  # keys are float32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--packs", nargs="+", default=["train-0", "collection-sites", "train-1"])
    parser.add_argument("--photos", type=int, nargs="+", default=[20, 20, 40], help="of each pack, before the last")
    parser.add_argument("--entries", type=int, nargs="+", default=[48, 48, 96], help="for each pack")


def run(arguments: argparse.Namespace) -> int:
    """Measure each pack; 1 if a target is missed."""
    print_machine()
    rows = [_measure(*each) for each in zip(arguments.packs, arguments.photos, arguments.entries, strict=True)]
    print_table(
        ["pack", "photos", "entries", "kept, chosen afresh", "kept", "cost against afresh"], [r[0] for r in rows]
    )
    return int(not all(met for _, met in rows))


def _measure(name: str, photos: int, entries: int) -> tuple[list[object], bool]:
    with TemporaryDirectory() as root:
        folder, store = Path(root, "photos"), Store(Path(root, "store"))
        folder.mkdir()
        *first, last = islice(open_source(pack(name)).encoded(), photos + 1)
        for number, photo in enumerate(first):
            _write(folder, number, photo)
        before = _built(folder, entries, store)
        _write(folder, photos, last)
        afresh, steady = _built(folder, entries, store), _built(folder, entries, store, before)
        kept = [len(_pictures(before) & _pictures(each)) for each in (afresh, steady)]
        ratio = _cost(steady, store) / _cost(afresh, store)
        row = [name, f"{photos} → {photos + 1}", before.rows("entries"), *kept, f"{ratio - 1:+.1%}"]
        return row, kept[1] >= kept[0] and ratio <= _ALLOWED


def _write(folder: Path, number: int, photo: EncodedPhoto) -> None:
    (folder / f"{number:04}.png").write_bytes(photo.data)  # whatever it is: names do not count


def _built(folder: Path, entries: int, store: Store, earlier: Version | None = None) -> Version:
    return build_dictionary(
        open_source(f"folder:{folder}"),
        crop_config=CropConfig(per_photo=16),
        feature_config=FeatureConfig(backbone="hog"),
        reduce_config=ReduceConfig(dim=32),
        cluster_config=ClusterConfig(entries=entries),
        index_config=IndexConfig(),
        store=store,
        earlier=earlier,
    ).version


def _pictures(dictionary: Version) -> set[str]:
    return set(dictionary.table("entries", columns=["pixels_sha256"])["pixels_sha256"].to_pylist())


def _cost(dictionary: Version, store: Store) -> float:
    """Squared distances of all distinct patches to the nearest entry."""
    inputs = dictionary.manifest.recipe.inputs
    clusters, reduced = store.get(Kind.CLUSTERS, inputs["clusters"]), store.get(Kind.REDUCED, inputs["reduced"])
    keys = vectors_of(reduced.table("keys")["key"]).astype(np.float64)
    entries = keys[clusters.table("clusters")["representative"].to_numpy()]
    distances = np.square(keys[:, None] - entries).sum(axis=2).min(axis=1)
    return float(distances[clusters.table("members")["entry"].to_numpy() >= 0].sum())
