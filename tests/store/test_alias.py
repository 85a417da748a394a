"""Aliases: compare-and-swap, history, rollback."""

import shutil
from pathlib import Path

import pytest

from clc.errors import AliasConflictError, CorruptArtifactError, MissingArtifactError, StoreError
from clc.store import Kind, Store
from clc.store.shipped import LayeredStore

KIND = Kind.DICTIONARY


def targets(store: Store) -> list[str]:
    return [revision.id for revision in store.aliases.history(KIND, "production")]


def test_an_alias_resolves_to_what_it_was_last_set_to(store: Store, make) -> None:
    first, second = make(1), make(2)
    store.aliases.set(KIND, "production", first)
    assert store.aliases.resolve(KIND, "production") == first
    store.aliases.set(KIND, "production", second)
    assert store.aliases.resolve(KIND, "production") == second


def test_the_history_keeps_every_target(store: Store, make) -> None:
    versions = [make(1), make(2), make(1)]
    for version in versions:
        store.aliases.set(KIND, "production", version)
    assert targets(store) == [version.id for version in versions]


def test_setting_what_is_already_so_adds_no_revision(store: Store, make) -> None:
    first = store.aliases.set(KIND, "production", make())
    assert store.aliases.set(KIND, "production", make()) == first
    assert store.aliases.set(KIND, "production", make(), expected=7) == first


def test_a_reference_is_as_good_as_a_version(store: Store, make) -> None:
    version = make()
    store.aliases.set(KIND, "latest", version)
    assert store.aliases.set(KIND, "production", "latest").id == version.id
    assert store.aliases.set(KIND, "candidate", version.id[:8]).id == version.id


def test_a_stale_expectation_is_a_conflict(store: Store, make) -> None:
    store.aliases.set(KIND, "production", make(1), expected=0)
    store.aliases.set(KIND, "production", make(2), expected=1)
    with pytest.raises(AliasConflictError, match="is at revision 2, not 1; look at its history, then retry"):
        store.aliases.set(KIND, "production", make(3), expected=1)
    with pytest.raises(AliasConflictError):
        store.aliases.set(KIND, "production", make(3), expected=0)


def test_rollback_goes_back_one_target_at_a_time(store: Store, make) -> None:
    first, second, third = (make(seed) for seed in (1, 2, 3))
    for version in (first, second, third):
        store.aliases.set(KIND, "production", version)
    assert store.aliases.rollback(KIND, "production").id == second.id
    assert store.aliases.rollback(KIND, "production").id == first.id
    with pytest.raises(MissingArtifactError, match="no earlier target"):
        store.aliases.rollback(KIND, "production")
    assert targets(store) == [first.id, second.id, third.id, second.id, first.id]


def test_rollback_after_moving_on_returns_to_what_the_rollback_restored(store: Store, make) -> None:
    first, second, third = (make(seed) for seed in (1, 2, 3))
    store.aliases.set(KIND, "production", first)
    store.aliases.set(KIND, "production", second)
    store.aliases.rollback(KIND, "production")
    store.aliases.set(KIND, "production", third)
    assert store.aliases.rollback(KIND, "production").id == first.id
    with pytest.raises(MissingArtifactError):
        store.aliases.rollback(KIND, "production")


def test_an_alias_to_a_version_that_is_gone_says_so(store: Store, make) -> None:
    old, new = make(1), make(2)
    store.aliases.set(KIND, "production", old)
    store.aliases.set(KIND, "production", new)
    shutil.rmtree(new.directory)
    with pytest.raises(MissingArtifactError, match=f"'production' points to {new.ref}, which is not in"):
        store.aliases.resolve(KIND, "production")
    store.aliases.rollback(KIND, "production")
    assert store.aliases.resolve(KIND, "production") == old


def test_an_alias_cannot_be_set_to_a_missing_version(store: Store, make) -> None:
    version = make()
    shutil.rmtree(version.directory)
    for target in (version, version.id, "latest"):
        with pytest.raises(MissingArtifactError):
            store.aliases.set(KIND, "production", target)
    assert store.aliases.list(KIND) == {}


def test_an_alias_is_of_one_kind(store: Store, make) -> None:
    with pytest.raises(StoreError, match="neither an id nor an alias of model"):
        store.aliases.set(Kind.MODEL, "production", make())


@pytest.mark.parametrize(
    "name", ["", "beef", "0123456789abcdef", "Production", "a/b", "..", ".hidden", "a b", "x" * 65]
)
def test_a_name_that_could_be_an_id_or_a_path_is_refused(store: Store, make, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name an alias"):
        store.aliases.set(KIND, name, make())


def test_the_list_shows_every_alias_with_its_revision(store: Store, make) -> None:
    assert store.aliases.list(KIND) == {}
    latest = store.aliases.set(KIND, "latest", make(1))
    store.aliases.set(KIND, "v1.0", make(1))
    moved = store.aliases.set(KIND, "v1.0", make(2))
    assert store.aliases.list(KIND) == {"latest": latest, "v1.0": moved}


def test_aliases_are_not_versions(store: Store, make) -> None:
    store.aliases.set(KIND, "latest", make())
    assert store.versions(KIND) == [make()]


def test_a_damaged_revision_is_named(store: Store, make) -> None:
    store.aliases.set(KIND, "latest", make())
    path = Path(store.url, "dictionary", "aliases", "latest", "00000001.json")
    path.write_text("{")
    with pytest.raises(CorruptArtifactError, match=r"00000001\.json is not an alias revision"):
        store.get(KIND, "latest")


def test_an_alias_may_point_to_a_model_that_comes_with_the_installation(tmp_path: Path) -> None:
    store = LayeredStore(tmp_path)
    store.aliases.set(Kind.MODEL, "production", "tiny")
    assert store.get(Kind.MODEL, "production").id == store.get(Kind.MODEL, "tiny").id
    with pytest.raises(MissingArtifactError, match="alias 'production' points to model/"):
        Store(tmp_path).get(Kind.MODEL, "production")
