"""What every kind of artifact offers on the command line: list, lineage, pin, export, import; and `clc gc`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from clc.commands.gc import gc
from clc.store import Kind, Recipe, Store, Version, verify_store
from tests.commands.conftest import Call


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("CLC_STORE", str(tmp_path / "store"))
    return Store()


def publish(
    store: Store, kind: Kind, stage: str, seed: int = 0, tables: tuple[str, ...] = (), **inputs: str
) -> Version:
    schema = pa.schema([("row", pa.int32())])
    with store.draft(kind, Recipe(stage=stage, stage_version=1, config={"seed": seed}, inputs=inputs)) as draft:
        draft.tensors("weights", {"x": np.array([seed])})
        for rows, name in enumerate(tables, 3):
            with draft.table(name, schema) as table:
                table.write(pa.table([pa.array(range(rows), pa.int32())], schema=schema))
        return draft.publish()


@pytest.fixture
def latents(store: Store) -> Version:
    """Photos → patches → dictionary, and with a model its reference latents."""
    patches = publish(store, Kind.PATCHES, "crop", tables=("patches",), photos="photos/5f1c")
    dictionary = publish(store, Kind.DICTIONARY, "index", tables=("tree", "entries", "faiss"), patches=patches.ref)
    model = publish(store, Kind.MODEL, "train", tables=("log",), patches=patches.ref)
    return publish(store, Kind.LATENTS, "latents", tables=("latents",), dictionary=dictionary.ref, model=model.ref)


def only(store: Store, kind: Kind) -> Version:
    (version,) = store.versions(kind)
    return version


def test_list_shows_the_rows_of_the_main_table_in_one_line_each(clc: Call, store: Store, latents: Version) -> None:
    dictionary, model = only(store, Kind.DICTIONARY), only(store, Kind.MODEL)
    for number in range(12):
        store.aliases.set(Kind.DICTIONARY, f"a-rather-long-alias-{number}", dictionary)
    code, out, _ = clc("dictionary", "list")
    header, line = out.splitlines()
    assert code == 0
    assert header.split() == ["id", "built", "entries", "aliases"]
    assert line.split()[:3] == [dictionary.short_id, dictionary.manifest.built.created_at[:16], "4"]
    assert line.endswith("a-rather-long-alias-9")
    assert clc("model", "list")[1].splitlines()[1].split() == [
        model.short_id,
        model.manifest.built.created_at[:16],
    ]


def test_lineage_is_a_tree_with_the_photos_at_its_leaves(clc: Call, store: Store, latents: Version) -> None:
    patches, dictionary = only(store, Kind.PATCHES), only(store, Kind.DICTIONARY)
    model = only(store, Kind.MODEL)
    assert clc("latents", "lineage", latents.short_id)[1].splitlines() == [
        f"{latents}  latents",
        f"├─ dictionary: {dictionary}  index",
        f"│  └─ patches: {patches}  crop",
        "│     └─ photos: photos/5f1c",
        f"└─ model: {model}  train",
        f"   └─ patches: {patches}  crop (see above)",
    ]


def test_lineage_as_json_has_full_ids(clc: Call, store: Store, latents: Version) -> None:
    tree = json.loads(clc("latents", "lineage", latents.short_id, "--json")[1])
    assert (tree["ref"], tree["stage"]) == (latents.ref, "latents")
    assert tree["inputs"]["model"]["inputs"]["patches"]["inputs"]["photos"]["ref"] == "photos/5f1c"


def test_lineage_marks_what_is_not_in_the_store(clc: Call, store: Store) -> None:
    version = publish(store, Kind.DICTIONARY, "index", patches=f"patches/{'0' * 64}")
    assert f"patches/{'0' * 16}  (not in this store)" in clc("dictionary", "lineage", version.short_id)[1]


def test_exported_latents_bring_their_dictionary_and_model(
    clc: Call, store: Store, latents: Version, tmp_path: Path
) -> None:
    file, other = tmp_path / "latents.tar", Store(tmp_path / "other")
    code, out, _ = clc("latents", "export", latents.short_id, file)
    assert code == 0
    assert out == f"{file}: {latents} and 3 versions it was made from, {file.stat().st_size} bytes\n"
    code, out, _ = clc("latents", "import", file, "--store", other.url)
    assert (code, out) == (0, f"{latents}: every hash as recorded\n")
    assert only(other, Kind.MODEL) == only(store, Kind.MODEL)
    assert only(other, Kind.DICTIONARY) == only(store, Kind.DICTIONARY)
    assert other.find(latents.manifest.recipe) == latents
    assert verify_store(other) == []


def test_import_names_the_command_for_a_file_of_another_kind(
    clc: Call, store: Store, latents: Version, tmp_path: Path
) -> None:
    file = tmp_path / "latents.tar"
    clc("latents", "export", latents.short_id, file)
    code, _, err = clc("model", "import", file, "--store", tmp_path / "other")
    assert code == 2
    assert err == f"clc: {file} holds {latents}, no model; run: clc latents import {file}\n"
    assert not (tmp_path / "other").exists()


def test_a_damaged_file_is_one_line(clc: Call, store: Store, latents: Version, tmp_path: Path) -> None:
    file = tmp_path / "latents.tar"
    clc("latents", "export", latents.short_id, file)
    file.write_bytes(file.read_bytes()[:-600])
    code, _, err = clc("latents", "import", file, "--store", tmp_path / "other")
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"{file} is not imported" in err
    assert clc("latents", "import", tmp_path / "none.tar")[0] == 2


def test_pins_are_set_listed_and_removed(clc: Call, store: Store, latents: Version) -> None:
    assert clc("latents", "pin", latents.short_id) == (0, f"{latents} is pinned\n", "")
    assert clc("latents", "pin") == (0, f"{latents.short_id}\n", "")
    assert clc("latents", "pin", latents.id, "--remove") == (0, f"{latents} is not pinned any more\n", "")
    assert clc("latents", "pin") == (0, "", "")
    code, _, err = clc("latents", "pin", latents.id, "--remove")
    assert (code, "has no pin" in err) == (2, True)


def test_removing_a_pin_needs_a_version(clc: Call, store: Store) -> None:
    code, _, err = clc("latents", "pin", "--remove")
    assert code == 2
    assert "VERSION" in err


class TestGc:
    @pytest.fixture
    def collect(self) -> Callable[..., str]:
        app = typer.Typer()
        app.command()(gc)

        def collect(*arguments: object) -> str:
            result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
            assert result.exit_code == 0
            return result.output

        return collect

    def test_says_what_stays_and_why(self, store: Store, latents: Version, collect: Callable[..., str]) -> None:
        old = publish(store, Kind.MODEL, "train", 5)
        store.pins.add(Kind.LATENTS, latents)
        arguments = ("--keep-last", 0, "--keep-days", 0)
        preview = collect(*arguments, "--dry-run")
        assert f"keep    {latents}  pin\n" in preview
        assert f"keep    {only(store, Kind.DICTIONARY)}  lineage of {latents}\n" in preview
        assert f"remove  {old}  " in preview
        assert "would remove 1 versions" in preview
        assert old in store.versions(Kind.MODEL)
        assert "removed 1 versions" in collect(*arguments)
        assert old not in store.versions(Kind.MODEL)

    def test_by_default_keeps_what_is_new(self, store: Store, latents: Version, collect: Callable[..., str]) -> None:
        assert "removed 0 versions" in collect()
        assert verify_store(store) == []
