"""Export files: one version and all it was made from goes to another store, and nothing but that gets in."""

import io
import json
import logging
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clc.errors import ClcError, CorruptArtifactError
from clc.store import (
    Kind,
    Recipe,
    Store,
    Version,
    canonical_sha256,
    export_version,
    import_version,
    verify,
    verify_store,
)

Members = dict[str, bytes]


@pytest.fixture
def family(make) -> list[Version]:
    """Photos → a → b → c, and c also from a."""
    a = make(1, inputs={"photos": "photos/5f1c"})
    b = make(2, inputs={"patches": a.ref})
    return [a, b, make(3, inputs={"features": b.ref, "patches": a.ref})]


@pytest.fixture
def exported(family: list[Version], tmp_path: Path) -> Path:
    path = tmp_path / "c.tar"
    export(family[-1], path)
    return path


@pytest.fixture
def other(tmp_path: Path, make) -> Store:
    """Another store, with a version of its own."""
    other = Store(tmp_path / "other")
    make(9, into=other)
    return other


def export(version: Version, path: Path) -> tuple[Version, ...]:
    with path.open("xb") as file:
        return export_version(version, file)


def files(store: Store) -> dict[str, bytes]:
    root = Path(store.url)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


class TestRoundTrip:
    def test_ids_values_lineage_and_recipes_arrive(self, family, exported: Path, tmp_path: Path) -> None:
        empty = Store(tmp_path / "empty")
        arrived = import_version(empty, exported)
        assert arrived == family[-1]
        assert set(empty.versions(Kind.DICTIONARY)) == set(family)
        assert verify_store(empty) == []
        assert arrived.table("entries").equals(family[-1].table("entries"))
        assert all(empty.find(version.manifest.recipe) == version for version in family)

    def test_the_files_are_those_of_the_store(self, store: Store, exported: Path, tmp_path: Path) -> None:
        empty = Store(tmp_path / "empty")
        import_version(empty, exported)
        assert files(empty) == files(store)

    def test_only_the_lineage_goes(self, make, family, tmp_path: Path) -> None:
        make(4, inputs={"features": family[1].ref})
        assert set(export(family[1], tmp_path / "b.tar")) == set(family[:2])

    def test_the_same_version_makes_the_same_bytes(self, family, exported: Path, tmp_path: Path) -> None:
        empty = Store(tmp_path / "empty")
        again = tmp_path / "again.tar"
        export(import_version(empty, exported), again)
        assert again.read_bytes() == exported.read_bytes()

    def test_it_is_a_plain_tar_that_begins_with_its_contents(self, family, exported: Path) -> None:
        with tarfile.open(exported, "r:") as tar:
            members = tar.getmembers()
        assert members[0].name == "export.json"
        names = [member.name for member in members[1:]]
        assert names == sorted(names)
        assert {(member.mtime, member.mode, member.uid, member.uname) for member in members} == {(0, 0o644, 0, "")}
        contents = json.loads(unpacked(exported)["export.json"])
        assert contents["root"] == {"kind": "dictionary", "id": family[-1].id}

    def test_importing_again_changes_no_file(self, exported: Path, other: Store) -> None:
        first = import_version(other, exported)
        before = {path: path.stat().st_mtime_ns for path in Path(other.url).rglob("*.*")}
        assert import_version(other, exported) == first
        assert {path: path.stat().st_mtime_ns for path in Path(other.url).rglob("*.*")} == before

    def test_importing_repairs_a_damaged_version(self, exported: Path, other: Store) -> None:
        version = import_version(other, exported)
        path = Path(other.url) / version.locate(version.manifest.files["basis"])
        path.write_bytes(b"damaged")
        assert verify(import_version(other, exported)) == []

    def test_a_missing_ancestor_is_named_only(self, family, tmp_path: Path) -> None:
        shutil.rmtree(family[0].directory)
        assert set(export(family[2], tmp_path / "c.tar")) == set(family[1:])
        empty = Store(tmp_path / "empty")
        import_version(empty, tmp_path / "c.tar")
        assert {problem.what for version in empty.versions(Kind.DICTIONARY) for problem in verify(version)} == {
            f"is missing: {version} was made from {family[0].ref}" for version in family[1:]
        }

    def test_stores_need_not_be_directories(self, exported: Path, make, tmp_path: Path) -> None:
        memory = Store("memory://transfer")
        version = import_version(memory, exported)
        assert verify_store(memory) == []
        export(version, tmp_path / "again.tar")
        assert (tmp_path / "again.tar").read_bytes() == exported.read_bytes()


class TestRecipePointers:
    def test_one_that_names_another_version_stays_and_is_reported(
        self, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        recipe = Recipe(stage="train", stage_version=1)
        here, there = trained(store, recipe, 1), trained(Store(tmp_path / "other"), recipe, 2)
        export(there, tmp_path / "there.tar")
        with caplog.at_level(logging.WARNING, "clc.store"):
            assert import_version(store, tmp_path / "there.tar") == there
        assert here.id in caplog.text
        assert there.id in caplog.text
        assert store.find(recipe) == here
        assert set(store.versions(Kind.MODEL)) == {here, there}

    def test_one_that_named_another_version_at_home_does_not_go_along(self, store: Store, tmp_path: Path) -> None:
        recipe = Recipe(stage="train", stage_version=1)
        trained(store, recipe, 1)
        export(trained(store, recipe, 2), tmp_path / "second.tar")
        empty = Store(tmp_path / "empty")
        import_version(empty, tmp_path / "second.tar")
        assert empty.find(recipe) is None


class TestExportFails:
    def test_for_a_damaged_version(self, family) -> None:
        path = Path(family[0].directory, family[0].manifest.files["entries"].path)
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        with pytest.raises(CorruptArtifactError, match=f"{path} does not have the SHA-256"):
            export_version(family[2], io.BytesIO())

    def test_for_an_output_that_cannot_be_written(self, family) -> None:
        with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
            export_version(family[2], full)


def trained(store: Store, recipe: Recipe, value: int) -> Version:
    with store.draft(Kind.MODEL, recipe) as draft:
        draft.tensors("weights", {"x": np.array([value])})
        return draft.publish()


def unpacked(path: Path) -> Members:
    with tarfile.open(path, "r:") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def packed(path: Path, members: Members, *extra: tarfile.TarInfo) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        for header in extra:
            tar.addfile(header, io.BytesIO(b"x" * header.size))


def special(name: str, type: bytes, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = type, target
    return header


def first(members: Members, ending: str) -> str:
    return next(name for name in members if name.endswith(ending))


def edited(data: bytes, change: Callable[[dict], None], *, reseal: bool) -> bytes:
    document = json.loads(data)
    change(document)
    if reseal:
        document["checksum"] = canonical_sha256({key: document[key] for key in document if key != "checksum"})
    return json.dumps(document).encode()


@pytest.fixture
def refused(exported: Path, other: Store) -> Iterator[Callable[[str], None]]:
    """Assert that the file is refused with a message, as one mistake, and that the store is as it was."""
    before = files(other)

    def refused(message: str) -> None:
        with pytest.raises(ClcError, match=message) as error:
            import_version(other, exported)
        assert str(exported) in str(error.value)
        assert files(other) == before

    yield refused
    assert not list(Path(other.url).rglob(".tmp-*"))


class TestHostileArchives:
    @pytest.mark.parametrize(
        "name",
        [
            "../escaped.json",
            "/tmp/escaped.json",
            "dictionary/../../escaped",
            "dictionary/aliases/latest/00000001.json",
            "dictionary/0123456789abcdef/manifest.json",
            "recipes/../x.json",
            f"recipes/{'0' * 64}.json",
            "notes.txt",
        ],
    )
    def test_a_foreign_path(self, exported: Path, refused, name: str) -> None:
        packed(exported, unpacked(exported) | {name: b"{}"})
        refused(f"'{name}' belongs to no version of the file")

    def test_an_extra_file_in_a_version(self, exported: Path, refused, family) -> None:
        name = f"{family[2]}/extra-0123456789abcdef.parquet"
        packed(exported, unpacked(exported) | {name: b""})
        refused(f"{name}' belongs to no version of the file")

    @pytest.mark.parametrize(
        ("type", "what"),
        [
            (tarfile.SYMTYPE, "a link to '/etc/passwd'"),
            (tarfile.LNKTYPE, "a link to '/etc/passwd'"),
            (tarfile.DIRTYPE, "a directory"),
            (tarfile.FIFOTYPE, "special type"),
            (tarfile.CHRTYPE, "special type"),
            (tarfile.CONTTYPE, "special type"),
        ],
    )
    def test_what_is_no_regular_file(self, exported: Path, refused, type: bytes, what: str) -> None:
        members = unpacked(exported)
        name = first(members, ".parquet")
        del members[name]
        packed(exported, members, special(name, type, "/etc/passwd"))
        refused(f"'{name}' is .*{what}")

    def test_a_name_twice(self, exported: Path, refused) -> None:
        members = unpacked(exported)
        name = first(members, "manifest.json")
        packed(exported, members, tarfile.TarInfo(name))
        refused(f"'{name}' is there twice")

    def test_contents_that_do_not_come_first(self, exported: Path, refused) -> None:
        packed(exported, dict(reversed(unpacked(exported).items())))
        refused("comes first, where export.json belongs")

    def test_a_missing_member(self, exported: Path, refused) -> None:
        members = unpacked(exported)
        name = first(members, ".safetensors")
        del members[name]
        packed(exported, members)
        refused(f"'{name}' is missing")

    def test_a_file_of_another_size(self, exported: Path, refused) -> None:
        members = unpacked(exported)
        name = first(members, ".safetensors")
        packed(exported, members | {name: members[name] + b"\0"})
        refused(f"'{name}' has .* bytes, its manifest says")

    @pytest.mark.parametrize("cut", [1, 512, 10_240, 15_000, 30_000])
    def test_truncated_anywhere(self, exported: Path, refused, cut: int) -> None:
        os.truncate(exported, exported.stat().st_size - cut)
        refused("is not imported")

    def test_something_appended(self, exported: Path, refused) -> None:
        with exported.open("ab") as file:
            file.write(b"\0" * 10_239 + b"x")
        refused("it has .* bytes, its members take")

    def test_something_hidden_behind_the_end(self, exported: Path, refused) -> None:
        data = exported.read_bytes()
        exported.write_bytes(data[:-1] + b"x")
        refused("something follows its last member")

    @pytest.mark.parametrize("data", [b"", b"x" * 20_000, b"\0" * 10_240, b"\x1f\x8b" + b"0" * 2000])
    def test_what_is_no_tar(self, exported: Path, refused, data: bytes) -> None:
        exported.write_bytes(data)
        refused("is not imported")

    def test_a_file_that_is_not_there(self, exported: Path, refused) -> None:
        exported.unlink()
        refused("cannot read")

    @pytest.mark.parametrize("ending", [".parquet", ".safetensors"])
    def test_a_flipped_byte_in_data(self, exported: Path, refused, ending: str) -> None:
        members = unpacked(exported)
        name = first(members, ending)
        data = bytearray(members[name])
        data[len(data) // 2] ^= 1
        packed(exported, members | {name: bytes(data)})
        refused(f"'{name}' does not have the SHA-256")

    def test_a_flipped_byte_in_any_header(self, exported: Path, refused) -> None:
        good = exported.read_bytes()
        with tarfile.open(exported, "r:") as tar:
            offsets = [member.offset for member in tar]
        for offset in offsets:
            data = bytearray(good)
            data[offset + 3] ^= 1
            exported.write_bytes(data)
            refused("it is no tar file, or a damaged one")

    def test_a_header_that_leads_back(self, exported: Path, refused) -> None:
        header = special("x", tarfile.XHDTYPE)
        header.size = -1024
        block = header.tobuf(tarfile.GNU_FORMAT)
        exported.write_bytes(exported.read_bytes()[:512] + block)
        refused("is not imported")
        exported.write_bytes(block)
        refused("header of 'x' with size -1024")

    @pytest.mark.parametrize(
        "change",
        [
            lambda document: document["attributes"].update(entries=0),
            lambda document: document["recipe"]["config"].update(seed=8),
            lambda document: document["statistics"].update(seconds=1),
            lambda document: document["files"]["entries"].update(path="../../x-0123456789abcdef.parquet"),
            lambda document: document.pop("recipe"),
        ],
    )
    def test_a_manifest_edited_by_hand(self, exported: Path, refused, change) -> None:
        members = unpacked(exported)
        name = first(members, "manifest.json")
        packed(exported, members | {name: edited(members[name], change, reseal=False)})
        refused(f"'{name}' (is not a manifest|was changed after publishing)")

    def test_a_sealed_manifest_with_other_values(self, exported: Path, refused, family) -> None:
        """Data of one version under the manifest of another, every byte hash corrected: the values tell."""
        members = unpacked(exported)
        name = f"{family[0]}/manifest.json"
        foreign = family[1].manifest.files["entries"]
        old = family[0].manifest.files["entries"].path

        def adopt(document: dict) -> None:
            document["files"]["entries"].update(path=foreign.path, sha256=foreign.sha256, bytes=foreign.bytes)

        members[name] = edited(members[name], adopt, reseal=True)
        del members[f"{family[0]}/{old}"]
        members[f"{family[0]}/{foreign.path}"] = members[f"{family[1]}/{foreign.path}"]
        packed(exported, members)
        refused(rf"'{family[0]}/{foreign.path}' column 'key' is")

    def test_manifests_swapped_between_versions(self, exported: Path, refused, family) -> None:
        members = unpacked(exported)
        one, two = f"{family[0]}/manifest.json", f"{family[1]}/manifest.json"
        packed(exported, members | {one: members[two], two: members[one]})
        refused(r"manifest.json' is the manifest of dictionary/")

    def test_a_recipe_that_leads_to_another_version(self, exported: Path, refused, family) -> None:
        members = unpacked(exported)
        name = f"recipes/{family[0].manifest.recipe_hash}.json"
        packed(exported, members | {name: members[f"recipes/{family[1].manifest.recipe_hash}.json"]})
        refused(f"'{name}' does not name the version that its recipe made")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda contents: contents.update(root={"kind": "model", "id": "0" * 64}), "does not list model/000"),
            (lambda contents: contents.update(versions=contents["versions"] * 2), "names a version twice"),
            (lambda contents: contents["versions"].pop(), "belongs to no version"),
            (lambda contents: contents.update(note=1), "does not say what it holds"),
            (lambda contents: contents.update(root={"kind": "../x", "id": "0" * 64}), "does not say what it holds"),
            (lambda contents: contents.update(format_version=2), "format version 2, this clc reads up to 1: upgrade"),
        ],
    )
    def test_wrong_contents(self, exported: Path, refused, change, message: str) -> None:
        members = unpacked(exported)
        packed(exported, members | {"export.json": edited(members["export.json"], change, reseal=False)})
        refused(message)

    def test_a_version_that_is_no_ancestor(self, exported: Path, refused, family) -> None:
        members = unpacked(exported)
        root = {"kind": "dictionary", "id": family[0].id}
        data = edited(members["export.json"], lambda contents: contents.update(root=root), reseal=False)
        packed(exported, members | {"export.json": data})
        refused(f"from which {family[0].ref} was not made")

    def test_other_content_under_the_same_short_id(self, exported: Path, other: Store, family) -> None:
        """A store that holds a version where another one belongs publishes none of the file."""
        directory = Path(other.url, str(family[2]))
        shutil.copytree(other.versions(Kind.DICTIONARY)[0].directory, directory)
        before = files(other)
        with pytest.raises(CorruptArtifactError, match=str(directory)):
            import_version(other, exported)
        assert files(other) == before
