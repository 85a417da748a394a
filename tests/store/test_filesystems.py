"""Stores on other file systems than the local disk."""

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from clc.errors import AliasConflictError, CorruptArtifactError, StoreError
from clc.store import Kind, Recipe, Store, lineage, verify, verify_store


@pytest.fixture
def memory() -> Store:
    return Store("memory://bucket/prefix")


def test_a_store_in_memory_does_all_that_a_local_one_does(memory: Store, make) -> None:
    first, second = make(1, into=memory), make(2, into=memory)
    child = make(3, inputs={"patches": first.ref}, into=memory)
    assert make(1, into=memory) == first
    assert set(memory.versions(Kind.DICTIONARY)) == {first, second, child}
    assert memory.get(Kind.DICTIONARY, second.id[:6]) == second
    assert memory.find(second.manifest.recipe) == second
    assert [batch.num_rows for batch in second.batches("entries", batch_rows=40)] == [40, 24]
    assert second.tensors("basis")["basis"].shape == (64, 4)
    assert memory.aliases.set(Kind.DICTIONARY, "latest", first, expected=0).revision == 1
    with pytest.raises(AliasConflictError):
        memory.aliases.set(Kind.DICTIONARY, "latest", second, expected=0)
    assert lineage(child).inputs["patches"].ref == first.ref
    assert verify(child) == verify_store(memory) == []


def test_the_id_is_the_same_everywhere(memory: Store, store: Store, make) -> None:
    assert make(into=memory).id == make(into=store).id


def test_messages_name_the_url(memory: Store, make) -> None:
    version = make(into=memory)
    path = f"/bucket/prefix/{version}/{version.manifest.files['basis'].path}"
    del MemoryFileSystem.store[path]
    with pytest.raises(CorruptArtifactError, match=f"memory://{path} is missing"):
        version.tensors("basis")
    assert memory.url == "memory:///bucket/prefix"


def test_nothing_is_left_beside_the_files(memory: Store, make) -> None:
    make(into=memory)
    assert not [path for path in MemoryFileSystem.store if ".tmp-" in path]


class Plain(MemoryFileSystem):
    """A file system that nobody has vouched for: most take `mode="create"` and look before they write."""

    protocol = "plain"


def test_a_file_system_not_known_to_create_exclusively_is_refused_before_any_work() -> None:
    fsspec.register_implementation("plain", Plain, clobber=True)
    store = Store("plain://x")
    with (
        pytest.raises(StoreError, match=r"has no exclusive create; use a local directory or an object store"),
        store.draft(Kind.MODEL, Recipe(stage="train", stage_version=1)),
    ):
        pass


def test_a_store_that_cannot_be_written_is_a_store_error(tmp_path) -> None:
    (tmp_path / "file").write_text("not a directory")
    schema = pa.schema([("index", pa.int32())])
    with Store(tmp_path / "file" / "store").draft(Kind.RESULTS, Recipe(stage="test", stage_version=1)) as draft:
        with draft.table("rows", schema):
            pass
        with pytest.raises(StoreError, match=r"cannot (read|write) .*file"):
            draft.publish()
