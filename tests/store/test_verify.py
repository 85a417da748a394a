"""Every way a stored version can be damaged is detected, and the file is named."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clc.errors import CorruptArtifactError, StoreError
from clc.store import Kind, Store, Version, canonical_sha256, verify, verify_store


def path_of(version: Version, name: str) -> Path:
    return Path(version.directory, version.manifest.files[name].path)


def manifest_of(version: Version) -> Path:
    return Path(version.directory, "manifest.json")


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x40
    path.write_bytes(data)


def edit(version: Version, change: Callable[[dict], None], *, reseal: bool = False) -> None:
    """Change the manifest by hand; resealing also corrects the checksum, as a careful forger would."""
    document = json.loads(manifest_of(version).read_bytes())
    change(document)
    if reseal:
        document["checksum"] = canonical_sha256({key: document[key] for key in document if key != "checksum"})
    manifest_of(version).write_text(json.dumps(document))


def problem(version: Version, path: Path) -> str:
    """Return the text of the one problem of a version, which must be with this file."""
    (found,) = verify(version)
    assert found.path == str(path)
    assert not found.what.startswith(found.path)
    return found.what


def test_an_untouched_version_has_no_problems(store: Store, make) -> None:
    patches = make(1)
    assert verify(make(2, inputs={"patches": patches.ref, "photos": "photos/5f1c"})) == []
    assert verify_store(store) == []


@pytest.mark.parametrize("name", ["entries", "basis"])
@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_byte(make, name: str, position: int) -> None:
    version = make()
    flip(path_of(version, name), position)
    assert "does not have the SHA-256" in problem(version, path_of(version, name))


@pytest.mark.parametrize("name", ["entries", "basis"])
def test_a_truncated_file_is_found_by_readers_too(make, name: str) -> None:
    version = make()
    path = path_of(version, name)
    os.truncate(path, path.stat().st_size - 10)
    assert "bytes, the manifest says" in problem(version, path)
    with pytest.raises(CorruptArtifactError, match=path.name):
        version.table(name) if name == "entries" else version.tensors(name)


@pytest.mark.parametrize("name", ["entries", "basis"])
def test_a_deleted_file_is_found_by_readers_too(make, name: str) -> None:
    version = make()
    path_of(version, name).unlink()
    assert "is missing" in problem(version, path_of(version, name))
    with pytest.raises(CorruptArtifactError, match=f"{path_of(version, name).name} is missing; restore it"):
        version.table(name) if name == "entries" else version.tensors(name)


def test_a_flipped_byte_in_a_page_is_found_by_readers_too(make) -> None:
    version = make()
    flip(path_of(version, "entries"), 60)
    with pytest.raises(CorruptArtifactError, match=path_of(version, "entries").name):
        version.table("entries")
    with pytest.raises(CorruptArtifactError, match=path_of(version, "entries").name):
        list(version.batches("entries"))


def test_a_file_swapped_with_that_of_another_version(make) -> None:
    version, other = make(1), make(2)
    shutil.copy(path_of(other, "entries"), path_of(version, "entries"))
    (found,) = verify(version)
    assert str(found).startswith(f"{path_of(version, 'entries')}: ")


def test_content_that_contradicts_its_logical_hashes(make) -> None:
    """A swapped file whose byte hash was corrected in the manifest still has other values."""
    version, other = make(1), make(2)
    shutil.copy(path_of(other, "entries"), path_of(version, "entries"))

    def adopt(document: dict) -> None:
        foreign = other.manifest.files["entries"]
        document["files"]["entries"].update(sha256=foreign.sha256, bytes=foreign.bytes)

    edit(version, adopt, reseal=True)
    assert "column 'key' is" in problem(version, path_of(version, "entries"))


EDITS = {
    "attribute": (lambda document: document["attributes"].update(entries=65), "its content has id"),
    "row count": (lambda document: document["files"]["entries"].update(rows=65), "its content has id"),
    "id": (lambda document: document.update(id="0" * 64), "its content has id"),
    "recipe": (lambda document: document["recipe"]["config"].update(seed=9), "recipe does not match"),
    "lineage": (lambda document: document["lineage"].append({"kind": "model", "id": "0" * 64}), "lineage does not"),
    "statistics": (lambda document: document["statistics"].update(seconds=1), "the checksum does not match"),
    "date": (lambda document: document["built"].update(created_at="1999"), "the checksum does not match"),
    "foreign path": (lambda document: document["files"]["entries"].update(path="../../x.parquet"), "files.entries"),
    "not a number": (lambda document: document["statistics"].update(psnr=float("nan")), "is not a manifest"),
    "half a character": (lambda document: document["statistics"].update(name="\ud800"), "is not a manifest"),
    "extra key": (lambda document: document.update(note="hello"), "is not a manifest"),
    "missing key": (lambda document: document.pop("recipe"), "is not a manifest"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_hand_edited_manifest_is_named_and_refused(store: Store, make, name: str) -> None:
    version = make()
    change, message = EDITS[name]
    edit(version, change)
    assert message in problem(version, manifest_of(version))
    with pytest.raises(CorruptArtifactError, match=r"manifest\.json"):
        store.get(Kind.DICTIONARY, version.id)
    assert [found.path for found in verify_store(store)] == [str(manifest_of(version))]


@pytest.mark.parametrize("name", ["attribute", "row count", "id", "recipe", "lineage"])
def test_a_corrected_checksum_does_not_hide_an_edit(make, name: str) -> None:
    version = make()
    change, message = EDITS[name]
    edit(version, change, reseal=True)
    assert message in problem(version, manifest_of(version))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format_version": 1}', b"[" * 100_000])
def test_an_unparsable_manifest(store: Store, make, data: bytes) -> None:
    version = make()
    manifest_of(version).write_bytes(data)
    assert "is not a manifest" in problem(version, manifest_of(version))
    with pytest.raises(CorruptArtifactError, match=r"manifest\.json is not a manifest"):
        store.versions(Kind.DICTIONARY)


def test_a_newer_format_asks_for_an_upgrade(store: Store, make) -> None:
    version = make()
    edit(version, lambda document: document.update(format_version=2))
    with pytest.raises(StoreError, match="format version 2, this clc reads up to 1: upgrade clc"):
        store.get(Kind.DICTIONARY, version.id)


def test_a_manifest_in_the_wrong_directory(store: Store, make) -> None:
    version = make()
    other = Path(store.url, "dictionary", "0123456789abcdef")
    Path(version.directory).rename(other)
    (found,) = verify_store(store)
    assert found.path == str(other / "manifest.json")
    assert f"is the manifest of {version.ref}" in found.what


def test_a_removed_version(make) -> None:
    version = make()
    shutil.rmtree(version.directory)
    assert "is missing" in problem(version, manifest_of(version))


@pytest.mark.parametrize("damage", ["removed", "edited"])
def test_a_damaged_input_is_a_problem_of_what_was_made_from_it(make, damage: str) -> None:
    source = make(1)
    version = make(2, inputs={"patches": source.ref})
    if damage == "removed":
        shutil.rmtree(source.directory)
    else:
        edit(source, lambda document: document["attributes"].update(entries=0))
    problem(version, manifest_of(source))


def test_a_file_that_is_a_link_out_of_the_store(make, tmp_path) -> None:
    version = make()
    path = path_of(version, "basis")
    outside = path.rename(tmp_path / "outside.safetensors")
    path.symlink_to(outside)
    assert "symbolic link" in problem(version, path)


def test_a_directory_that_is_a_link_out_of_the_store(make, tmp_path) -> None:
    version = make()
    outside = Path(version.directory).rename(tmp_path / "outside")
    Path(version.directory).symlink_to(outside)
    assert "symbolic link" in problem(version, manifest_of(version))


def test_debris_of_a_killed_publisher_is_no_problem(store: Store, make) -> None:
    version = make()
    Path(version.directory, ".tmp-0").write_bytes(b"half a file")
    Path(store.url, "dictionary", "0123456789abcdef").mkdir()
    assert verify_store(store) == []
