"""Drafts: what they accept, and that only `publish` makes anything visible."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from clc.errors import StoreError
from clc.store import Kind, Recipe, Store

RECIPE = Recipe(stage="train", stage_version=1)
SCHEMA = pa.schema([("index", pa.int32())])


def files_of(store: Store) -> list[Path]:
    return [path for path in Path(store.url).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "tensor",
    [
        np.float32(3).reshape(()),
        np.empty((0, 4), np.int64),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(8, dtype=np.float16)[::2],
        np.array([True, False]),
    ],
    ids=["scalar", "empty", "big endian", "fortran order", "strided", "bool"],
)
def test_tensors_of_any_layout_read_back(store: Store, tensor: np.ndarray) -> None:
    with store.draft(Kind.MODEL, RECIPE) as draft:
        draft.tensors("weights", {"x": tensor})
        read = draft.publish().tensors("weights")["x"]
    assert read.shape == tensor.shape
    assert read.dtype.name == tensor.dtype.name
    assert np.array_equal(read, tensor)


@pytest.mark.parametrize("tensor", [np.array(["a"]), np.array([None]), np.zeros(2, np.complex64)], ids=str)
def test_tensors_that_are_no_numbers_are_refused(store: Store, tensor: np.ndarray) -> None:
    with store.draft(Kind.MODEL, RECIPE) as draft, pytest.raises(StoreError, match="tensor 'x' has dtype"):
        draft.tensors("weights", {"x": tensor})


def test_leaving_without_publishing_discards_everything(store: Store, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with store.draft(Kind.MODEL, RECIPE) as draft:
        draft.tensors("weights", {"x": np.zeros(3)})
    assert files_of(store) == []
    assert list(tmp_path.iterdir()) == []
    assert store.find(RECIPE) is None


def test_an_exception_in_a_stage_discards_everything(store: Store) -> None:
    def stage() -> None:
        with store.draft(Kind.MODEL, RECIPE) as draft, draft.table("losses", SCHEMA) as table:
            table.write(pa.table([pa.array([1], pa.int32())], schema=SCHEMA))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    assert files_of(store) == []


def test_a_published_version_is_files_a_manifest_and_a_recipe_pointer(store: Store) -> None:
    with store.draft(Kind.MODEL, RECIPE) as draft:
        draft.tensors("weights", {"x": np.zeros(3)})
        version = draft.publish()
    file = version.manifest.files["weights"]
    assert {str(path.relative_to(store.url)) for path in files_of(store)} == {
        f"model/{version.short_id}/weights-{file.sha256[:16]}.safetensors",
        f"model/{version.short_id}/manifest.json",
        f"recipes/{RECIPE.hash}.json",
    }


def test_publishing_the_same_content_again_changes_no_file(store: Store, make) -> None:
    version = make()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_of(store)}
    assert make() == version
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_of(store)} == before


def test_publishing_again_repairs_a_damaged_file(store: Store, make) -> None:
    version = make()
    path = Path(store.url) / version.locate(version.manifest.files["entries"])
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    make()
    assert path.read_bytes() == good


def test_attributes_and_statistics_read_back(store: Store) -> None:
    with store.draft(Kind.MODEL, RECIPE) as draft:
        draft.tensors("weights", {"x": np.zeros(3)})
        draft.attributes.update(size=(2, 3), rate=0.1, name="τ")
        draft.statistics["seconds"] = 1.5
        draft.publish()
    version = store.find(RECIPE)
    assert version is not None
    assert version.attributes == {"size": [2, 3], "rate": 0.1, "name": "τ"}
    assert version.statistics == {"seconds": 1.5}


@pytest.mark.parametrize("field", ["attributes", "statistics"])
def test_what_is_not_json_is_refused(store: Store, field: str) -> None:
    with store.draft(Kind.MODEL, RECIPE) as draft:
        draft.tensors("weights", {"x": np.zeros(3)})
        getattr(draft, field)["psnr"] = float("inf")
        with pytest.raises(StoreError, match="not representable as JSON"):
            draft.publish()
    assert files_of(store) == []


def test_mistakes_in_a_draft_are_named(store: Store) -> None:
    with store.draft(Kind.MODEL, RECIPE) as draft:
        with pytest.raises(StoreError, match="without a table or tensors"):
            draft.publish()
        draft.tensors("weights", {"x": np.zeros(3)})
        with pytest.raises(StoreError, match="already has 'weights'"):
            draft.tensors("weights", {})
        with pytest.raises(StoreError, match="cannot name a file"):
            draft.tensors("../weights", {})
        with draft.table("losses", SCHEMA), pytest.raises(StoreError, match=r"\['losses'\] are not complete"):
            draft.publish()
        draft.publish()
        with pytest.raises(StoreError, match="published already"):
            draft.publish()


def test_a_version_travels_between_processes_as_a_value(make) -> None:
    version = make()
    copy = pickle.loads(pickle.dumps(version))
    assert copy == version
    assert copy.table("entries").equals(version.table("entries"))
