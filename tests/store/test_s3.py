"""A store on an object store, over the S3 protocol, against a real server process on this machine.

Needs `pip install 'moto[server]' s3fs`; without them these tests are skipped.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import clc
from clc.errors import AliasConflictError
from clc.store import Kind, Store, collect, export_version, import_version, verify_store
from tests.s3_server import needs_s3, new_bucket, s3_server
from tests.store.publisher import publish

pytestmark = needs_s3

PUBLISHER = Path(__file__).with_name("publisher.py")


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture
def bucket(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    return new_bucket(environment, monkeypatch)


def publisher(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PUBLISHER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **environment,
            "PYTHONPATH": os.pathsep.join([str(Path(clc.__file__).parents[1]), *sys.path]),
            "OMP_NUM_THREADS": "1",
        },
    )


def test_publish_find_and_verify(bucket: str, make) -> None:
    store = Store(bucket)
    version = make(1, into=store)
    assert make(1, into=store) == version
    assert store.url == bucket
    assert store.find(version.manifest.recipe) == store.get(Kind.DICTIONARY, version.id[:6]) == version
    assert [batch.num_rows for batch in version.batches("entries", batch_rows=40)] == [40, 24]
    assert version.tensors("basis")["basis"].shape == (64, 4)
    assert verify_store(store) == []


def test_only_one_of_two_creates_a_file(bucket: str) -> None:
    storage, rivals = Store(bucket).storage, [b"a", b"b", b"c", b"d"]
    for name in map("{}.json".format, range(10)):
        with ThreadPoolExecutor(len(rivals)) as pool:
            created = list(pool.map(storage.create, [name] * len(rivals), rivals))
        assert sorted(created) == [False, False, False, True]
        assert storage.read(name) == rivals[created.index(True)]


@pytest.mark.medium
def test_racing_publishers_all_succeed(bucket: str, environment: dict[str, str]) -> None:
    seeds = ["1", "2", "3"]
    racers = [publisher(environment, "many", bucket, *seeds) for _ in range(2)]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        printed = [racer.stdout.read().split() for racer in racers]
        assert [racer.wait() for racer in racers] == [0, 0]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    assert printed[0] == printed[1]
    store = Store(bucket)
    assert {version.id for version in store.versions(Kind.MODEL)} == set(printed[0])
    assert verify_store(store) == []


def test_an_alias_moves_by_compare_and_swap(bucket: str, make) -> None:
    store = Store(bucket)
    first, second = make(1, into=store), make(2, into=store)
    assert store.aliases.set(Kind.DICTIONARY, "latest", first, expected=0).revision == 1
    with pytest.raises(AliasConflictError):
        store.aliases.set(Kind.DICTIONARY, "latest", second, expected=0)
    assert store.aliases.set(Kind.DICTIONARY, "latest", second, expected=1).revision == 2
    assert store.aliases.rollback(Kind.DICTIONARY, "latest").id == first.id


def test_a_version_travels_to_an_object_store_and_back(bucket: str, store: Store, make, tmp_path: Path) -> None:
    source = make(1, inputs={"photos": "photos/5f1c"})
    version = make(2, inputs={"patches": source.ref})
    with (tmp_path / "there.tar").open("xb") as file:
        export_version(version, file)
    remote = Store(bucket)
    assert import_version(remote, tmp_path / "there.tar") == version
    assert verify_store(remote) == []
    with (tmp_path / "back.tar").open("xb") as file:
        export_version(remote.get(Kind.DICTIONARY, version.id), file)
    assert (tmp_path / "back.tar").read_bytes() == (tmp_path / "there.tar").read_bytes()


@pytest.mark.medium
def test_what_nothing_holds_is_collected(bucket: str, make) -> None:
    store = Store(bucket)
    old, pinned, new = (make(seed, into=store) for seed in range(3))
    store.pins.add(Kind.DICTIONARY, pinned)
    store.storage.replace(f"{new}/weights-0123456789abcdef.safetensors", b"debris")
    assert collect(store, keep_last=1, keep_days=0, dry_run=False).debris == ()
    assert set(store.versions(Kind.DICTIONARY)) == {pinned, new}
    assert old.short_id not in store.directories(Kind.DICTIONARY)
    later = datetime.now(UTC) + timedelta(hours=25)
    (debris,) = collect(store, keep_last=1, keep_days=0, dry_run=False, now=later).debris
    assert debris.bytes == len(b"debris")
    assert store.pins.remove(Kind.DICTIONARY, pinned) == pinned.short_id
    assert verify_store(store) == []


@pytest.mark.medium
def test_a_publisher_killed_while_it_writes_leaves_nothing_that_others_see(
    bucket: str, environment: dict[str, str]
) -> None:
    store = Store(bucket)
    moments = random.Random(0)
    for number in range(4):
        process = publisher(environment, "endless", bucket, str(10 * number))
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.1, 1.0))
        finally:
            process.kill()
            process.communicate()
        assert verify_store(store) == []
    seen = set(store.versions(Kind.MODEL))
    again = {publish(store, 10 * number + at) for number in range(4) for at in range(2)}
    assert len(again) == 8
    assert seen - again == {version for version in seen if version.manifest.recipe.config["seed"] % 10 > 1}
    assert verify_store(store) == []


@pytest.mark.medium
def test_a_listing_that_takes_long_is_waited_for(make, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(list_seconds=1.0) as environment:
        store = Store(new_bucket(environment, monkeypatch))
        version = make(1, into=store)
        assert store.find(version.manifest.recipe) == version
        assert list(store.versions(Kind.DICTIONARY)) == [version]
        assert verify_store(store) == []
