"""What `collect` keeps, what it removes, and that nothing it does ever shows as a damaged version."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import clc
from clc.errors import CorruptArtifactError, MissingArtifactError, StoreError
from clc.store import GcReport, Kind, Recipe, Store, Version, collect, lineage, part_store, verify, verify_store

COLLECTOR = Path(__file__).with_name("collector.py")
TOMORROW = datetime.now(UTC) + timedelta(hours=25)


def collect_all(store: Store, *, keep_last: int = 0, keep_days: float = 0, dry_run: bool = False, **more) -> GcReport:
    return collect(store, keep_last=keep_last, keep_days=keep_days, dry_run=dry_run, **more)


def reasons(report: GcReport) -> dict[Version, tuple[str, ...]]:
    return {kept.version: kept.reasons for kept in report.kept}


def removed(report: GcReport) -> set[Version]:
    return {each.version for each in report.removed}


def files(store: Store) -> set[str]:
    root = Path(store.url)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def age(path: Path, hours: float) -> Path:
    moment = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    os.utime(path, (moment, moment))
    return path


class TestHolds:
    def test_what_nothing_holds_goes_with_all_its_files(self, store: Store, make) -> None:
        version = make()
        size = sum(path.stat().st_size for path in Path(version.directory).iterdir())
        report = collect_all(store)
        assert [(each.version, each.bytes) for each in report.removed] == [(version, size)]
        assert report.bytes == size
        assert files(store) == set()
        assert store.find(version.manifest.recipe) is None

    def test_an_alias_holds_its_target_and_what_a_rollback_restores(self, store: Store, make) -> None:
        versions = [make(seed) for seed in range(4)]
        for version in versions[:3]:
            store.aliases.set(Kind.DICTIONARY, "production", version)
        report = collect_all(store)
        assert reasons(report) == {versions[1]: ("rollback of alias production",), versions[2]: ("alias production",)}
        store.aliases.rollback(Kind.DICTIONARY, "production")
        assert store.get(Kind.DICTIONARY, "production") == versions[1]

    def test_after_a_rollback_the_next_one_is_held(self, store: Store, make) -> None:
        versions = [make(seed) for seed in range(3)]
        for version in versions:
            store.aliases.set(Kind.DICTIONARY, "production", version)
        store.aliases.rollback(Kind.DICTIONARY, "production")
        assert removed(collect_all(store)) == {versions[2]}

    def test_everything_a_kept_version_was_made_from_stays(self, store: Store, make) -> None:
        a = make(1, inputs={"photos": "photos/5f1c"})
        b = make(2, inputs={"patches": a.ref})
        c, d = make(3, inputs={"features": b.ref}), make(4, inputs={"features": b.ref})
        store.aliases.set(Kind.DICTIONARY, "latest", c)
        report = collect_all(store)
        assert reasons(report) == {a: (f"lineage of {b}",), b: (f"lineage of {c}",), c: ("alias latest",)}
        assert removed(report) == {d}
        assert verify_store(store) == []

    def test_a_pin_holds_until_it_is_removed(self, store: Store, make) -> None:
        version = make()
        store.pins.add(Kind.DICTIONARY, version)
        assert reasons(collect_all(store)) == {version: ("pin",)}
        store.pins.remove(Kind.DICTIONARY, version.id[:6])
        assert removed(collect_all(store)) == {version}

    def test_the_newest_of_every_kind_stay(self, store: Store, make) -> None:
        versions = [make(seed) for seed in range(3)]
        model = train(store)
        report = collect_all(store, keep_last=2)
        assert removed(report) == {versions[0]}
        assert reasons(report) == dict.fromkeys([*versions[1:], model], ("newest 2",))

    def test_the_young_stay(self, store: Store, make) -> None:
        version = make()
        assert reasons(collect_all(store, keep_days=1)) == {version: ("younger than 1 days",)}
        assert removed(collect_all(store, keep_days=1, now=TOMORROW)) == {version}

    @pytest.mark.parametrize(("kind", "what"), [(Kind.LATENTS, "reference latents"), (Kind.REFERENCES, "references")])
    def test_references_stay_with_their_dictionary_and_model(self, kind: Kind, what: str, store: Store, make) -> None:
        """No machine can compute the same again, and every stream of the two needs them."""
        dictionary, model, other = make(), train(store, 1), train(store, 2)
        wanted = train(store, 3, kind, {"dictionary": dictionary.ref, "model": model.ref})
        unwanted = train(store, 4, kind, {"dictionary": dictionary.ref, "model": other.ref})
        store.pins.add(Kind.DICTIONARY, dictionary)
        store.pins.add(Kind.MODEL, model)
        report = collect_all(store)
        assert removed(report) == {other, unwanted}
        assert reasons(report)[wanted] == (f"{what} of {dictionary} and {model}",)

    def test_build_inputs_go_if_that_is_asked_for_and_the_dictionary_stays_whole(self, store: Store, make) -> None:
        patches = train(store, 1, Kind.PATCHES)
        features = train(store, 2, Kind.FEATURES, {"patches": patches.ref})
        pinned = train(store, 3, Kind.CLUSTERS, {"features": features.ref})
        dictionary = make(inputs={"patches": patches.ref, "clusters": pinned.ref})
        store.aliases.set(Kind.DICTIONARY, "latest", dictionary)
        store.pins.add(Kind.CLUSTERS, pinned)
        assert removed(collect_all(store)) == set()
        assert removed(collect_all(store, build_inputs=True, keep_last=3)) == {patches, features}
        assert verify(dictionary) == []
        assert lineage(dictionary).inputs["patches"].present is False

    def test_a_recipe_that_made_a_kept_version_is_still_skipped(self, store: Store, make) -> None:
        version = make()
        collect_all(store, keep_last=1)
        assert store.find(version.manifest.recipe) == version

    def test_stores_need_not_be_directories(self, make) -> None:
        memory = Store("memory://gc")
        old, new = make(1, into=memory), make(2, into=memory)
        assert removed(collect_all(memory, keep_last=1)) == {old}
        assert memory.versions(Kind.DICTIONARY) == [new]
        assert verify_store(memory) == []


class TestCaution:
    def test_a_dry_run_says_the_same_and_removes_nothing(self, store: Store, make) -> None:
        make(1)
        debris = Path(make(2).directory, ".tmp-1")
        debris.write_bytes(b"half")
        before = files(store)
        said = collect_all(store, keep_last=1, dry_run=True, now=TOMORROW)
        assert files(store) == before
        assert len(said.removed) == len(said.debris) == 1
        assert collect_all(store, keep_last=1, now=TOMORROW) == said

    @pytest.mark.parametrize("damaged", ["manifest", "alias", "recipe pointer"])
    def test_what_cannot_be_read_stops_it_before_anything_goes(self, store: Store, make, damaged: str) -> None:
        make(1)
        version = make(2)
        store.aliases.set(Kind.DICTIONARY, "latest", version)
        path = {
            "manifest": Path(version.directory, "manifest.json"),
            "alias": Path(store.url, "dictionary", "aliases", "latest", "00000001.json"),
            "recipe pointer": Path(store.url, "recipes", f"{version.manifest.recipe_hash}.json"),
        }[damaged]
        path.write_text("{")
        before = files(store)
        with pytest.raises(CorruptArtifactError, match=path.name):
            collect_all(store)
        assert files(store) == before

    @pytest.mark.parametrize("limit", ["keep_last", "keep_days", "grace_hours"])
    def test_negative_limits_are_refused(self, store: Store, limit: str) -> None:
        with pytest.raises(StoreError, match=f"{limit} is -1; give 0 or more"):
            collect_all(store, **{limit: -1})

    def test_links_out_of_the_store_are_not_followed(self, store: Store, make, tmp_path: Path) -> None:
        version = make()
        outside = Path(version.directory).rename(tmp_path / "outside")
        Path(version.directory).symlink_to(outside)
        kept = sorted(outside.iterdir())
        assert removed(collect_all(store, now=TOMORROW)) == {version}
        assert sorted(outside.iterdir()) == kept
        assert store.versions(Kind.DICTIONARY) == []


class TestDebris:
    @pytest.fixture
    def debris(self, store: Store, make) -> list[Path]:
        """One of each kind, in a store whose only version stays."""
        version, root = make(), Path(store.url)
        store.aliases.set(Kind.DICTIONARY, "latest", version)
        abandoned = root / "model" / "0123456789abcdef"
        abandoned.mkdir(parents=True)
        paths = [
            Path(version.directory, ".tmp-1"),
            Path(version.directory, "entries-0123456789abcdef.parquet"),
            root / "recipes" / ".tmp-2",
            root / "dictionary" / "aliases" / "latest" / ".tmp-3",
            abandoned / "weights-0123456789abcdef.safetensors",
        ]
        for path in paths:
            path.write_bytes(b"debris")
        return paths

    def test_goes_once_it_is_a_day_old(self, store: Store, debris: list[Path]) -> None:
        assert collect_all(store).debris == ()
        report = collect_all(store, now=TOMORROW)
        assert {Path(store.url, each.path) for each in report.debris} == {*debris, debris[-1].parent}
        assert sum(each.bytes for each in report.debris) == 5 * len(b"debris")
        assert not any(path.exists() for path in (*debris, debris[-1].parent))
        assert verify_store(store) == []

    def test_each_file_has_its_own_age(self, store: Store, debris: list[Path]) -> None:
        age(debris[1], hours=25)
        assert [Path(store.url, each.path) for each in collect_all(store).debris] == [debris[1]]

    def test_the_grace_period_is_a_parameter(self, store: Store, debris: list[Path]) -> None:
        for path in debris:
            age(path, hours=2)
        assert collect_all(store, grace_hours=3).debris == ()
        assert len(collect_all(store, grace_hours=1).debris) == len(debris) + 1

    def test_a_publisher_that_still_writes_keeps_what_it_wrote_before(self, store: Store, debris: list[Path]) -> None:
        age(debris[-1], hours=48)
        (debris[-1].parent / ".tmp-9").write_bytes(b"the next file")
        assert collect_all(store).debris == ()

    def test_strangers_files_stay(self, store: Store, make) -> None:
        version = make()
        store.pins.add(Kind.DICTIONARY, version)
        notes = [Path(version.directory, "notes.txt"), Path(store.url, "model", "0123456789abcdef", "readme.md")]
        for path in notes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
        assert collect_all(store, now=TOMORROW).debris == ()
        assert all(path.exists() for path in notes)

    def test_an_empty_directory_and_a_pointer_to_nothing(self, store: Store, make) -> None:
        version = make()
        for path in Path(version.directory).iterdir():
            path.unlink()
        report = collect_all(store, now=TOMORROW)
        assert {each.path for each in report.debris} == {str(version), f"recipes/{version.manifest.recipe_hash}.json"}
        assert not Path(version.directory).exists()


@pytest.mark.medium
def test_killed_before_every_single_change_the_store_verifies(store: Store, make, tmp_path: Path) -> None:
    a = make(1)
    b = make(2, inputs={"patches": a.ref})
    make(3, inputs={"patches": b.ref, "features": a.ref})
    survivor = make(4)
    process = subprocess.run(
        [sys.executable, str(COLLECTOR), store.url, str(tmp_path / "scratch")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(clc.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )
    deaths = [tuple(map(int, line.split())) for line in process.stdout.splitlines()]
    assert len(deaths) > 10
    assert all(problems == 0 for _, _, problems, _ in deaths)
    visible = [versions for _, versions, _, _ in deaths]
    assert (visible[0], visible[-1]) == (4, 1)
    assert visible == sorted(visible, reverse=True)
    expected = len(list(Path(survivor.directory).iterdir())) + 1  # and its recipe pointer
    assert {left for *_, left in deaths} == {expected}


def test_publishers_of_what_is_collected_meanwhile_leave_it_whole_or_not_at_all(store: Store, make) -> None:
    done = threading.Event()

    def publish() -> None:
        while not done.is_set():
            try:
                make(1)
            except StoreError:  # "removed meanwhile; publish again"
                continue

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        for _ in range(40):
            collect_all(store)
    finally:
        done.set()
        publisher.join()
    assert verify_store(store) == []
    make(1)
    assert verify_store(store) == []


class TestPins:
    def test_pinning_twice_is_pinning_once(self, store: Store, make) -> None:
        version = make()
        assert store.pins.add(Kind.DICTIONARY, version) == store.pins.add(Kind.DICTIONARY, version.id[:8]) == version
        assert store.pins.list(Kind.DICTIONARY) == [version.short_id]
        path = Path(store.url, "dictionary", "pins", f"{version.short_id}.json")
        assert json.loads(path.read_bytes()) == {"kind": "dictionary", "id": version.id}

    def test_an_alias_pins_what_it_names_now(self, store: Store, make) -> None:
        first, second = make(1), make(2)
        store.aliases.set(Kind.DICTIONARY, "latest", first)
        store.pins.add(Kind.DICTIONARY, "latest")
        store.aliases.set(Kind.DICTIONARY, "latest", second)
        assert store.pins.list(Kind.DICTIONARY) == [first.short_id]

    def test_a_missing_version_cannot_be_pinned(self, store: Store) -> None:
        with pytest.raises(MissingArtifactError, match="clc model list"):
            store.pins.add(Kind.MODEL, "0123456789abcdef")

    def test_removing_a_pin_that_is_not_there_names_those_that_are(self, store: Store, make) -> None:
        pinned, other = make(1), make(2)
        store.pins.add(Kind.DICTIONARY, pinned)
        with pytest.raises(MissingArtifactError, match=f"{other} has no pin .* pinned are: {pinned.short_id}"):
            store.pins.remove(Kind.DICTIONARY, other)

    def test_a_pin_outlives_its_version_and_can_be_removed(self, store: Store, make) -> None:
        version = make()
        store.pins.add(Kind.DICTIONARY, version)
        for path in Path(version.directory).iterdir():
            path.unlink()
        assert store.pins.remove(Kind.DICTIONARY, version.short_id) == version.short_id


def train(store: Store, seed: int = 0, kind: Kind = Kind.MODEL, inputs: dict[str, str] | None = None) -> Version:
    with store.draft(kind, Recipe(stage="train", stage_version=1, config={"seed": seed}, inputs=inputs or {})) as draft:
        draft.tensors("weights", {"x": np.array([seed])})
        return draft.publish()


def test_parts_that_nobody_came_back_for_are_debris(store: Store, make) -> None:
    whole = Recipe(stage="index", stage_version=1, config={"seed": 7})
    make(1, into=part_store(store, whole, "0-of-2"))
    assert collect_all(store).debris == ()
    debris = collect_all(store, now=TOMORROW).debris
    assert {Path(each.path).name for each in debris} >= {"manifest.json", "recipes", "0-of-2", whole.hash}
    assert list(Path(store.url, "scratch").iterdir()) == []
