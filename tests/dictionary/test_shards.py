"""Stages in shards: whatever their number and whoever makes them, the version is the same."""

import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clc.dictionary.stages.features import FeatureConfig, FeatureExtractor, extract
from clc.dictionary.stages.patches import CropConfig, crop
from clc.errors import ClusterError, DictionaryError, ProfileError, SourceError
from clc.images import PhotoSource, open_source
from clc.stages.shards import Done, Extent, Shard
from clc.stages.workers import DaskWorkers
from clc.store import Store, Version
from tests.conftest import picture

CROP = CropConfig(size=64, per_photo=12)
HOG = FeatureConfig(backbone="hog", levels=(1, 2))


@dataclass
class InTurn:
    """Makes one part after the other, in this process, the last one first; dies before the part of rank `dies_at`."""

    world_size: int
    dies_at: int | None = None

    def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Iterator[Done]:
        for rank in reversed(range(self.world_size)):
            if rank == self.dies_at:
                raise KeyboardInterrupt
            yield make(Shard(rank, self.world_size))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PhotoSource:
    """Ten small photos, and one of each kind that cannot be cropped."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(10):
        Image.fromarray(picture(seed, 96, 128)).save(folder / f"photo-{seed}.png")
    Image.fromarray(np.full((96, 96, 3), 77, np.uint8)).save(folder / "flat.png")
    Image.fromarray(picture(1, 60, 60)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    return open_source(f"folder:{folder}")


@pytest.fixture(scope="module")
def patches(source: PhotoSource, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """120 patches of 64×64: eight batches of 16, the last one of 8."""
    return crop(source, config=CROP, store=Store(tmp_path_factory.mktemp("patches"))).version


@pytest.fixture(scope="module")
def features(patches: Version, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return extract(patches, config=HOG, store=Store(tmp_path_factory.mktemp("features"))).version


def parts(store: Store) -> list[Path]:
    """The Parquet files of all parts, by rank."""
    return sorted(Path(store.url).glob("scratch/*/*/*/*/*.parquet"), key=lambda path: int(path.parts[-4].split("-")[0]))


def die_at(rank: int, patches: Version, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(patches, config=HOG, store=store, workers=InTurn(4, dies_at=rank))


def test_shards_share_out_every_row_once_and_cut_between_batches() -> None:
    for world_size in (1, 2, 3, 8, 20):
        ranges = [Shard(rank, world_size).rows(120, block=16) for rank in range(world_size)]
        assert [row for rows in ranges for row in rows] == list(range(120))
        assert all(rows.start % 16 == 0 for rows in ranges if rows)


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_patches_are_the_same_for_any_number_of_shards(
    source: PhotoSource, patches: Version, store: Store, world_size: int
) -> None:
    version = crop(source, config=CROP, store=store, workers=InTurn(world_size)).version
    assert version.id == patches.id
    assert version.statistics == patches.statistics
    assert version.statistics["too_small_photos"] == ["small.png"]
    assert not Path(store.url, "scratch").exists()


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_features_are_the_same_for_any_number_of_shards(
    patches: Version, features: Version, store: Store, world_size: int
) -> None:
    version = extract(patches, config=HOG, store=store, workers=InTurn(world_size)).version
    assert version.id == features.id
    assert not Path(store.url, "scratch").exists()


@pytest.mark.medium
def test_features_of_a_convolutional_network_are_the_same_too(source: PhotoSource, tmp_path: Path) -> None:
    config = FeatureConfig(backbone="random:0", levels=(1,))
    few = crop(source, config=CropConfig(size=64, per_photo=2), store=Store(tmp_path / "patches")).version
    versions = {
        extract(few, config=config, store=Store(tmp_path / f"{workers}"), workers=workers).version
        for workers in (None, InTurn(2))
    }
    assert few.rows("patches") == 20
    assert len(versions) == 1


def test_an_extractor_arrives_at_a_worker_as_what_it_was_opened_by() -> None:
    extractor = FeatureExtractor(HOG)
    data = pickle.dumps(extractor)
    assert len(data) < 1000
    arrived = pickle.loads(data)
    assert (arrived.backbone.fingerprint, arrived.dimension) == (extractor.backbone.fingerprint, extractor.dimension)
    assert pickle.loads(data) is arrived  # opened once a process


def test_other_weights_than_those_of_who_asked_are_an_error() -> None:
    data = pickle.dumps(FeatureExtractor(HOG)).replace(b"hog-1", b"hog-0")
    with pytest.raises(DictionaryError, match="hog-1 for a worker and hog-0"):
        pickle.loads(data)


def test_a_part_that_is_there_is_not_made_again(patches: Version, features: Version, store: Store) -> None:
    die_at(0, patches, store)
    before = {path: path.stat().st_mtime_ns for path in parts(store)}
    assert len(before) == 3
    die_at(0, patches, store)
    assert {path: path.stat().st_mtime_ns for path in parts(store)} == before
    assert extract(patches, config=HOG, store=store, workers=InTurn(4)).version.id == features.id


@pytest.mark.parametrize("damage", ["half", "flipped", "no manifest", "bad manifest", "bad pointer"])
def test_a_damaged_part_is_made_again(patches: Version, features: Version, store: Store, damage: str) -> None:
    die_at(2, patches, store)
    [part] = parts(store)
    data = part.read_bytes()
    if damage == "half":
        part.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        part.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "no manifest":
        (part.parent / "manifest.json").unlink()
    elif damage == "bad manifest":
        (part.parent / "manifest.json").write_text("{}")
    else:
        [pointer] = (part.parents[2] / "recipes").iterdir()
        pointer.write_text("{}")
    assert extract(patches, config=HOG, store=store, workers=InTurn(4)).version.id == features.id


def test_a_forced_build_trusts_no_part(patches: Version, store: Store) -> None:
    die_at(2, patches, store)
    before = [path.stat().st_mtime_ns for path in parts(store)]
    with pytest.raises(KeyboardInterrupt):
        extract(patches, config=HOG, store=store, workers=InTurn(4, dies_at=2), force=True)
    assert [path.stat().st_mtime_ns for path in parts(store)] != before


def test_shards_without_any_patch_say_so_as_one(tmp_path: Path, store: Store) -> None:
    for name in "abc":
        Image.fromarray(picture(1, 60, 60)).save(tmp_path / f"{name}.png")
    with pytest.raises(DictionaryError, match=r"from 3 photos.*3 too small"):
        crop(open_source(f"folder:{tmp_path}"), config=CROP, store=store, workers=InTurn(3))


def test_photos_that_vanish_meanwhile_are_an_error(tmp_path: Path, store: Store) -> None:
    for name in "ab":
        Image.fromarray(picture(1, 96, 96)).save(tmp_path / f"{name}.png")

    class Vandal(InTurn):
        def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Iterator[Done]:
            (tmp_path / "b.png").unlink()
            return super().compute(make, extent)

    with pytest.raises(SourceError, match="0 photos were found where 1 were counted"):
        crop(open_source(f"folder:{tmp_path}"), config=CROP, store=store, workers=Vandal(2))


def test_workers_are_here_or_elsewhere() -> None:
    assert DaskWorkers.asked_for(None, None) is None
    with pytest.raises(ProfileError, match="not both"):
        DaskWorkers.asked_for(2, "tcp://127.0.0.1:8786")


def test_a_missing_dask_is_named_with_what_to_install() -> None:
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from clc.stages.workers import DaskWorkers\nDaskWorkers(2).require()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1].endswith("pip install 'clc[dask]'")


@pytest.mark.medium
def test_an_address_where_nobody_answers_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("clc.stages.workers._CONNECT_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ClusterError, match=rf"answers at {address}.*`dask scheduler`"):
        DaskWorkers(address=address).require()
    with pytest.raises(ClusterError, match="HOST:PORT"):
        DaskWorkers(address="nonsense").require()


def worker_environment(shard: Shard, *, found: Path) -> Done:
    """A shard that writes down what its process was started with."""
    found.write_bytes(Path("/proc/self/environ").read_bytes())
    return Done(shard, skipped=False, seconds=0.0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_worker_computes_on_one_thread_and_with_the_usual_allocator(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    found = tmp_path / "environ"
    list(DaskWorkers(1).compute(partial(worker_environment, found=found), Extent(1, 1)))
    names = {variable.partition(b"=")[0] for variable in found.read_bytes().split(b"\0")}
    assert b"OMP_NUM_THREADS" in names
    assert b"MALLOC_TRIM_THRESHOLD_" not in names


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    patches: Version, features: Version, store: Store
) -> None:
    pytest.importorskip("distributed")
    environment, others = dict(os.environ), multiprocessing.active_children()
    made: list[Version] = []
    stage = threading.Thread(
        target=lambda: made.append(extract(patches, config=HOG, store=store, workers=DaskWorkers(2)).version)
    )
    stage.start()
    while stage.is_alive() and not parts(store):
        time.sleep(0.005)
    victim = next(process for process in multiprocessing.active_children() if process not in others)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    there = len(parts(store))
    stage.join()
    assert there < 8, "the worker was killed too late to matter"
    assert [version.id for version in made] == [features.id]
    assert dict(os.environ) == environment
