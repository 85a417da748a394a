"""Finding versions: by alias, full id, short id, unique prefix, recipe."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from clc.errors import CorruptArtifactError, MissingArtifactError, StoreError
from clc.store import Kind, Recipe, Store


def test_every_form_of_reference_finds_the_version(store: Store, make) -> None:
    version = make()
    store.aliases.set(Kind.DICTIONARY, "production", version)
    for ref in (version.id, version.short_id, version.id[:4], version.id[:40], str(version), version.ref, "production"):
        assert store.get(Kind.DICTIONARY, ref) == version


def test_an_ambiguous_prefix_lists_the_candidates(store: Store) -> None:
    # Ids follow from content alone, so this pair, found by search, begins alike for ever.
    twins = []
    for number in (145, 153):
        with store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1, config={"number": number})) as draft:
            draft.tensors("weights", {"x": np.array([number])})
            twins.append(draft.publish())
    first, second = sorted(map(str, twins))
    with pytest.raises(StoreError, match=f"'ba45' is ambiguous: {first}, {second}; give more digits"):
        store.get(Kind.MODEL, "ba45")


@pytest.mark.parametrize("ref", ["0123", "0123456789abcdef", "0123456789abcdef" * 4])
def test_a_missing_version_says_where_it_looked_and_what_to_do(store: Store, ref: str) -> None:
    with pytest.raises(MissingArtifactError) as error:
        store.get(Kind.DICTIONARY, ref)
    for part in (f"dictionary/{ref}", store.url, "clc dictionary list", "clc dictionary import FILE", "--store"):
        assert part in str(error.value)


def test_a_missing_alias_says_which_exist(store: Store, make) -> None:
    store.aliases.set(Kind.DICTIONARY, "latest", make())
    with pytest.raises(MissingArtifactError, match=r"no alias 'production'.*aliases: latest.*clc dictionary list"):
        store.get(Kind.DICTIONARY, "production")


@pytest.mark.parametrize("ref", ["", "abc/../def", "../..", "Latest", "patches/0123456789abcdef", "a b"])
def test_what_is_no_reference_is_refused(store: Store, ref: str) -> None:
    with pytest.raises(StoreError, match="neither an id nor an alias of dictionary"):
        store.get(Kind.DICTIONARY, ref)


def test_a_full_id_that_only_shares_its_short_id_is_not_found_silently(store: Store, make) -> None:
    version = make()
    other = version.short_id + "0" * 48
    with pytest.raises(CorruptArtifactError, match="shares its first 16 digits"):
        store.get(Kind.DICTIONARY, other)


def test_kinds_do_not_mix(store: Store, make) -> None:
    with pytest.raises(MissingArtifactError):
        store.get(Kind.MODEL, make().id)


def test_versions_come_oldest_first(store: Store, make) -> None:
    made = [make(seed) for seed in range(4)]
    assert store.versions(Kind.DICTIONARY) == made
    assert store.versions(Kind.MODEL) == []


def test_directories_without_a_manifest_are_not_versions(store: Store, make) -> None:
    version = make()
    debris = Path(store.url, "dictionary", "0123456789abcdef")
    debris.mkdir()
    (debris / ".tmp-1").write_bytes(b"half")
    assert store.versions(Kind.DICTIONARY) == [version]
    with pytest.raises(MissingArtifactError):
        store.get(Kind.DICTIONARY, "0123")


class TestFind:
    def test_needs_pointer_and_manifest(self, store: Store, make) -> None:
        version = make()
        recipe = version.manifest.recipe
        assert store.find(recipe) == version
        pointer = Path(store.url, "recipes", f"{recipe.hash}.json")
        assert json.loads(pointer.read_bytes()) == {"kind": "dictionary", "id": version.id}
        pointer.rename(pointer.with_suffix(".away"))
        assert store.find(recipe) is None
        pointer.with_suffix(".away").rename(pointer)
        shutil.rmtree(version.directory)
        assert store.find(recipe) is None

    def test_knows_nothing_of_other_recipes(self, store: Store, make) -> None:
        make()
        assert store.find(Recipe(stage="index", stage_version=2, config={"seed": 0})) is None

    def test_reports_a_damaged_pointer(self, store: Store, make) -> None:
        recipe = make().manifest.recipe
        Path(store.url, "recipes", f"{recipe.hash}.json").write_text('{"kind": "dictionary", "id": "../.."}')
        with pytest.raises(CorruptArtifactError, match=rf"{recipe.hash}.json is not a recipe pointer; delete it"):
            store.find(recipe)


def test_the_store_is_where_the_environment_says(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLC_STORE", raising=False)
    assert Store().url == str(tmp_path / "artifacts")
    monkeypatch.setenv("CLC_STORE", str(tmp_path / "elsewhere"))
    assert Store().url == str(tmp_path / "elsewhere")
    assert Store(tmp_path / "here").url == str(tmp_path / "here")


def test_an_unknown_protocol_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="cannot open the store nonsense://x"):
        Store("nonsense://x")
