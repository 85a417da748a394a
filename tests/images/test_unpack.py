"""Archives: sound ones come out whole, hostile and damaged ones leave nothing."""

import io
import tarfile
import zipfile

import pytest

from clc.errors import BadDownloadError
from clc.images.datasets.unpack import extract_archive

FILES = {"photos/a.png": b"first" * 50, "photos/deep/b.png": b"second" * 50, "readme.txt": b"hello"}


def make_zip(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def make_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def make_tar_member(path, **attributes):
    """A tar with one sound file and one member as described."""
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("sound.txt"))
        member = tarfile.TarInfo("odd")
        for name, value in attributes.items():
            setattr(member, name, value)
        tar.addfile(member)
    return path


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(archive, match, **limits):
    """The archive is refused, and nothing but itself is left in its folder."""
    before = set(archive.parent.rglob("*"))
    with pytest.raises(BadDownloadError, match=match):
        extract_archive(archive, archive.parent / "out", **limits)
    assert set(archive.parent.rglob("*")) == before


@pytest.fixture(params=["zip", "zip-deflate", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def archive(request, tmp_path):
    kind = request.param
    path = tmp_path / "archive.bin"  # the kind is found in the content, not in the name
    if kind.startswith("zip"):
        return make_zip(path, FILES, zipfile.ZIP_DEFLATED if kind == "zip-deflate" else zipfile.ZIP_STORED)
    return make_tar(path, FILES, "w:" + kind.partition(".")[2])


def test_every_kind_of_archive_comes_out_whole(archive, tmp_path):
    extract_archive(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"archive.bin", "out"}


def test_a_truncated_archive_leaves_nothing(archive):
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 4])
    assert_refused(archive, "archive")


def test_a_tar_cut_between_two_members_is_truncated(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"a": b"1" * 512, "b": b"2" * 512})
    archive.write_bytes(archive.read_bytes()[:1024])
    assert_refused(archive, "truncated")


def test_a_tar_with_a_damaged_header_is_not_taken_for_a_shorter_one(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"a": b"1" * 512, "b": b"2" * 512})
    damaged = bytearray(archive.read_bytes())
    damaged[1024 + 100] ^= 1
    archive.write_bytes(damaged)
    assert_refused(archive, "damaged")


def test_a_zip_with_a_wrong_checksum_is_damaged(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": b"payload"})
    archive.write_bytes(archive.read_bytes().replace(b"payload", b"pAyload"))
    assert_refused(archive, "CRC")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_text("<html>Quota exceeded</html>" * 50)
    assert_refused(tmp_path / "a.zip", "not a tar archive")


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "C:\\evil", "C:evil", "..\\evil", "\\evil"])
def test_a_name_outside_the_archive_is_refused(make, name, tmp_path):
    (tmp_path / "in").mkdir()
    assert_refused(make(tmp_path / "in/a.bin", {"fine.txt": b"", name: b"evil"}), "outside the archive", max_ratio=1)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    assert_refused(make_tar_member(tmp_path / "a.tar", type=kind, linkname="/etc"), "a link, a device")


def test_a_sparse_file_in_a_tar_is_refused(tmp_path):
    headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**40)}
    assert_refused(make_tar_member(tmp_path / "a.tar", pax_headers=headers), "sparse")


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    assert_refused(tmp_path / "a.zip", "a link")


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "names", [("a.png", "A.PNG"), ("caf\u00e9", "cafe\u0301"), ("a", "a/b"), ("a/b", "a"), ("a/b", "A/c"), ("a", "./a")]
)
def test_names_that_collide_are_refused(make, names, tmp_path):
    assert_refused(make(tmp_path / "a.bin", dict.fromkeys(names, b"")), "collide", max_ratio=1)


def test_folders_may_be_named_again(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a/": b"", "a/b": b"1", "a/c": b"2"})
    extract_archive(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"a/b": b"1", "a/c": b"2"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_a_bomb_is_refused_by_what_comes_out_of_it(kind, tmp_path):
    path, zeros = tmp_path / "bomb", {"zeros": bytes(20_000_000)}
    if kind == "zip":
        make_zip(path, zeros, zipfile.ZIP_DEFLATED)
    else:
        make_tar(path, zeros, "w:" + kind[4:])
    assert_refused(path, "bomb")


def test_a_bomb_in_a_tar_header_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a")
        member.pax_headers = {"comment": "0" * 20_000_000}
        tar.addfile(member)
    assert_refused(tmp_path / "a.tar.gz", "bomb")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_limits_on_files_and_bytes_hold(make, tmp_path):
    archive = make(tmp_path / "a.bin", {str(index): bytes(1000) for index in range(10)})
    assert_refused(archive, "more members", max_files=9)
    assert_refused(archive, "bomb", max_bytes=9_999)
    extract_archive(archive, tmp_path / "out", max_files=10, max_bytes=archive.stat().st_size)
    assert len(tree(tmp_path / "out")) == 10


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(BadDownloadError, match="exists already"):
        extract_archive(make_zip(tmp_path / "a.zip", FILES), tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"mine"}


def test_a_missing_archive_is_an_archive_error(tmp_path):
    with pytest.raises(BadDownloadError, match=r"nowhere\.zip"):
        extract_archive(tmp_path / "nowhere.zip", tmp_path / "out")
