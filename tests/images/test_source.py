"""Photo sources, by the specifications that users write."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clc.errors import SourceError
from clc.images import PhotoSource, SkippedPhoto, fingerprint, open_source, read_photos
from clc.images.sources.combined import CombinedPhotos
from clc.runtime.remarks import Summary


def png(level: int = 0, size: tuple[int, int] = (4, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def ids(spec: str) -> list[str]:
    return [photo.image_id for photo in open_source(spec).encoded()]


def left_out(folder: Path, photos: tuple[str, ...] | list[str] = ("a.png", "sub/deep/b.PNG")) -> dict[str, str]:
    """What a folder leaves out, by name, and why; `photos` are all that it hands out."""
    with Summary() as summary:
        assert ids(f"folder:{folder}") == list(photos)
    return dict(line.split(": left out, ", 1) for line in summary.lines())


@pytest.fixture
def folder(tmp_path):
    """a.png, sub/deep/b.PNG and notes.txt."""
    (tmp_path / "photos/sub/deep").mkdir(parents=True)
    (tmp_path / "photos/a.png").write_bytes(png(1))
    (tmp_path / "photos/sub/deep/b.PNG").write_bytes(png(2))
    (tmp_path / "photos/notes.txt").write_text("not a photo")
    return tmp_path / "photos"


@pytest.fixture
def pack(tmp_path):
    """Five photos: p0..p4, split reference/test alternating, scene pond or null."""
    path = tmp_path / "pack.parquet"
    write_pack(
        path, {"split": ["reference", "test"] * 2 + ["reference"], "scene": ["pond", None, None, "pond", "pond"]}
    )
    return path


def write_pack(path, extra=None, **changes):
    columns = {
        "image_id": [f"p{index}" for index in range(5)],
        "width": [4] * 5,
        "height": [3] * 5,
        "source": ["camera 7"] * 5,
        "licence": ["CC0"] * 5,
        "image": [png(index) for index in range(5)],
        **(extra or {}),
        **changes,
    }
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)


class TestBundled:
    def test_the_ten_photos_have_their_documented_shapes(self):
        skipped: list[SkippedPhoto] = []
        shapes = {photo.image_id: photo.pixels.shape for photo in read_photos(open_source("bundled"), skipped)}
        assert skipped == []
        assert shapes == {
            "astronaut": (512, 512, 3),
            "chelsea": (300, 451, 3),
            "china": (427, 640, 3),
            "coffee": (400, 600, 3),
            "flower": (427, 640, 3),
            "hubble_deep_field": (872, 1000, 3),
            "motorcycle_left": (500, 741, 3),
            "motorcycle_right": (500, 741, 3),
            "retina": (1411, 1411, 3),
            "rocket": (427, 640, 3),
        }

    def test_the_stereo_pair_is_split_between_reference_and_test(self):
        assert ids("bundled?scene=motorcycle&split=reference") == ["motorcycle_left"]
        assert ids("bundled?split=test") == ["chelsea", "motorcycle_right"]
        assert len(ids("bundled?split=reference")) == 8

    def test_every_photo_says_where_it_is_from_and_under_what_terms(self):
        assert all(photo.source and photo.licence for photo in open_source("bundled").encoded())

    def test_reading_imports_neither_the_packages_nor_what_only_downloads_need(self):
        """In a process of its own: other tests of this one may have imported them."""
        code = (
            "import sys; from clc.images import open_source; list(open_source('bundled').encoded());"
            "print([name for name in ('sklearn', 'skimage', 'torch', 'httpx') if name in sys.modules])"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "[]"


class TestFolder:
    def test_photos_are_found_at_any_depth_in_sorted_order(self, folder):
        assert ids(f"folder:{folder}") == ["a.png", "sub/deep/b.PNG"]

    def test_a_corrupt_photo_is_skipped_named_and_logged(self, folder, caplog):
        (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing else")
        skipped: list[SkippedPhoto] = []
        with caplog.at_level(logging.WARNING):
            read = [photo.image_id for photo in read_photos(open_source(f"folder:{folder}"), skipped)]
        assert read == ["a.png", "sub/deep/b.PNG"]
        assert [photo.image_id for photo in skipped] == ["broken.jpg"]
        assert "broken.jpg: left out, " in caplog.text

    def test_photos_are_told_by_their_content_too(self, folder):
        for kind, name in (
            ("JPEG", "a"),
            ("PNG", "b.data"),
            ("WEBP", "c.bin"),
            ("TIFF", "d.x"),
            ("AVIF", "e"),
            ("BMP", "f"),
        ):
            Image.new("RGB", (4, 3)).save(folder / name, kind)
        Image.new("RGB", (4, 3)).save(folder / "g", "TIFF", big_tiff=True)
        assert ids(f"folder:{folder}") == ["a", "a.png", "b.data", "c.bin", "d.x", "e", "f", "g", "sub/deep/b.PNG"]

    @pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.mpo", "a.HEIC", "a.heif", "a.pbm"])
    def test_every_usual_name_of_a_photo_is_known(self, folder, name):
        (folder / name).write_bytes(b"")
        assert name in ids(f"folder:{folder}")

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("a.CR2", b"", "raw file; develop it"),
            ("a.tif", b"II*\0\x10\0\0\0CR\2\0", "raw file; develop it"),
            ("a.jxl", b"", ".jxl is not read; convert it"),
            ("b.txt", b"BMW", "not a photo"),
            ("P5", b"P5 is a name", "not a photo"),
        ],
    )
    def test_other_files_are_left_out_and_said(self, folder, name, content, reason):
        (folder / "notes.txt").unlink()
        (folder / name).write_bytes(content)
        assert reason in left_out(folder)[name]

    def test_what_is_left_out_for_one_reason_is_added_up(self, folder):
        for name in "wxyz":
            (folder / name).write_bytes(b"?")
        with Summary() as summary:
            ids(f"folder:{folder}"), ids(f"folder:{folder}")
        assert summary.lines() == ["left out, not a photo: 5 files (notes.txt, w, x, ...)"]

    def test_links_that_cannot_be_followed_are_left_out_and_said(self, folder, tmp_path):
        (tmp_path / "outside.png").write_bytes(png())
        (folder / "link.png").symlink_to(tmp_path / "outside.png")
        (folder / "dangling.png").symlink_to(folder / "nowhere.png")
        (folder / "circle.png").symlink_to(folder / "circle.png")
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        said = left_out(folder)
        assert said["link.png"].startswith("a link out of the folder")
        assert said["dangling.png"] == "a link that leads nowhere"
        assert said["circle.png"] == "a link in a circle"
        assert said["loop"].startswith("a linked folder")

    def test_a_link_within_the_folder_is_followed(self, folder):
        (folder / "link.png").symlink_to(folder / "a.png")
        assert "link.png" in ids(f"folder:{folder}")

    def test_a_fifo_is_left_out_without_waiting_for_it(self, folder):
        os.mkfifo(folder / "pipe.png")
        assert left_out(folder)["pipe.png"] == "not a file"

    def test_a_file_name_that_is_not_utf8_is_left_out_and_said(self, folder):
        (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(png())
        assert left_out(folder)["caf\\xe9.png"] == "its name is not valid UTF-8; rename it"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_what_may_not_be_read_is_left_out_and_said(self, folder):
        (folder / "a.png").chmod(0)
        (folder / "sub").chmod(0)
        try:
            said = left_out(folder, photos=[])
            assert said["a.png"].startswith("cannot be read")
            assert said["sub"].startswith("a folder that cannot be listed")
        finally:
            (folder / "sub").chmod(0o755)

    @pytest.mark.parametrize("name", ["notes.txt", "broken.png"])
    def test_strict_makes_what_would_be_left_out_an_error(self, folder, monkeypatch, name):
        monkeypatch.setenv("CLC_STRICT", "1")
        (folder / "notes.txt").unlink()
        (folder / name).write_bytes(b"no photo")
        with pytest.raises(SourceError, match=rf"{name} cannot be used: .*--strict"):
            list(read_photos(open_source(f"folder:{folder}"), []))

    def test_a_home_of_nobody_is_refused(self):
        with pytest.raises(SourceError, match="there is no such user"):
            ids("folder:~nobody-of-this-name/photos")

    def test_a_missing_folder_is_refused_at_once(self, tmp_path):
        with pytest.raises(SourceError, match="no such folder"):
            open_source(f"folder:{tmp_path}/nowhere")

    def test_a_folder_without_photos_is_an_error(self, tmp_path):
        with pytest.raises(SourceError, match="no photos"):
            ids(f"folder:{tmp_path}")


class TestParquet:
    def test_rows_come_in_file_order_with_all_they_say(self, pack):
        photos = list(open_source(f"parquet:{pack}").encoded())
        assert [photo.image_id for photo in photos] == ["p0", "p1", "p2", "p3", "p4"]
        assert (photos[3].data, photos[3].source, photos[3].licence) == (png(3), "camera 7", "CC0")
        assert (photos[3].split, photos[3].scene, photos[2].scene) == ("test", "pond", None)

    def test_split_scene_and_limit_select(self, pack):
        assert ids(f"parquet:{pack}?split=reference") == ["p0", "p2", "p4"]
        assert ids(f"parquet:{pack}?split=reference&scene=pond") == ["p0", "p4"]
        assert ids(f"parquet:{pack}?split=reference&limit=2") == ["p0", "p2"]

    def test_a_split_that_is_not_there_names_those_that_are(self, pack):
        with pytest.raises(SourceError, match="'train'; there are: reference, test"):
            ids(f"parquet:{pack}?split=train")

    def test_a_split_of_photos_without_splits_is_refused(self, tmp_path):
        write_pack(tmp_path / "plain.parquet")
        with pytest.raises(SourceError, match="have no split"):
            ids(f"parquet:{tmp_path}/plain.parquet?split=test")

    def test_a_combination_that_no_photo_has_is_refused(self, tmp_path):
        write_pack(tmp_path / "pack.parquet", split=["a"] * 4 + ["b"], scene=["x"] * 4 + ["y"])
        with pytest.raises(SourceError, match="both"):
            ids(f"parquet:{tmp_path}/pack.parquet?split=a&scene=y")

    def test_a_file_without_images_is_refused(self, tmp_path):
        write_pack(tmp_path / "pack.parquet", image=None)
        with pytest.raises(SourceError, match="lacks the columns image; it has image_id"):
            ids(f"parquet:{tmp_path}/pack.parquet")

    def test_images_are_all_that_a_file_needs(self, tmp_path):
        pq.write_table(pa.table({"image": [png(), png()]}), tmp_path / "pack.parquet")
        assert ids(f"parquet:{tmp_path}/pack.parquet") == ["row-0", "row-1"]

    def test_a_struct_of_bytes_and_path_is_read(self, tmp_path):
        images = [{"bytes": png(1), "path": "one.png"}, {"bytes": png(2), "path": None}]
        pq.write_table(pa.table({"image": images, "label": [3, 4]}), tmp_path / "pack.parquet")
        photos = list(open_source(f"parquet:{tmp_path}/pack.parquet").encoded())
        assert [(photo.image_id, photo.data) for photo in photos] == [("one.png", png(1)), ("row-1", png(2))]

    def test_a_path_that_several_rows_have_comes_with_the_row(self, tmp_path):
        images = [{"bytes": png(n), "path": path} for n, path in enumerate(["0001.png", "one.png", "0001.png"])]
        pq.write_table(pa.table({"image": images}), tmp_path / "pack.parquet", row_group_size=1)
        source = open_source(f"parquet:{tmp_path}/pack.parquet")
        names = ["0001.png (row 0)", "one.png", "0001.png (row 2)"]
        assert [photo.image_id for photo in read_photos(source, [])] == names
        assert [photo.image_id for photo in source.encoded(2, 3)] == names[2:]

    @pytest.mark.parametrize("form", ["dictionary", "view", "large"])
    def test_columns_of_every_form_are_read(self, tmp_path, form):
        text, data = pa.array(["a", "b"]), pa.array([png(1), png(2)])
        if form == "dictionary":
            text, data = text.dictionary_encode(), data.dictionary_encode()
        elif form == "view":
            text, data = text.cast(pa.string_view()), data.cast(pa.binary_view())
        else:
            text, data = text.cast(pa.large_string()), data.cast(pa.large_binary())
        pq.write_table(pa.table({"image_id": text, "image": data, "split": text}), tmp_path / "pack.parquet")
        photos = list(open_source(f"parquet:{tmp_path}/pack.parquet?split=b").encoded())
        assert [(photo.image_id, photo.data) for photo in photos] == [("b", png(2))]

    @pytest.mark.parametrize("struct", [False, True])
    def test_a_column_of_fixed_size_is_read(self, tmp_path, struct):
        files = [png(1), png(1)[::-1]]
        column = pa.array(files, pa.binary(len(files[0])))
        if struct:
            column = pa.StructArray.from_arrays([column], ["bytes"])
        pq.write_table(pa.table({"image": column}), tmp_path / "pack.parquet")
        assert [photo.data for photo in open_source(f"parquet:{tmp_path}/pack.parquet").encoded()] == files

    def test_a_row_of_a_path_alone_says_so(self, tmp_path):
        images = [
            {"bytes": png(1), "path": "one.png"},
            {"bytes": None, "path": "two.png"},
            {"bytes": b"", "path": "three.png"},
            {"bytes": None, "path": None},
        ]
        pq.write_table(pa.table({"image": images}), tmp_path / "pack.parquet")
        source, skipped = open_source(f"parquet:{tmp_path}/pack.parquet"), []
        with Summary() as summary:
            assert [photo.image_id for photo in read_photos(source, skipped)] == ["one.png"]
        assert [photo.image_id for photo in skipped] == ["two.png", "three.png", "row-3"]
        why = "only its path is in the file, no bytes; write the file again with its images embedded"
        assert summary.lines() == [
            "row-3: left out, empty, there is no image in it",
            f"left out, {why}: 2 files (three.png, two.png)",
        ]

    def test_text_that_is_not_utf8_is_refused(self, tmp_path):
        offsets = pa.py_buffer(b"\0\0\0\0\2\0\0\0")
        text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xe9\xe8")])
        pq.write_table(pa.table({"image": [png()], "image_id": text}), tmp_path / "pack.parquet")
        with pytest.raises(SourceError, match="the column image_id holds text that is not UTF-8"):
            ids(f"parquet:{tmp_path}/pack.parquet")

    def test_two_columns_of_one_name_are_refused(self, tmp_path):
        pq.write_table(pa.Table.from_arrays([pa.array([png()])] * 2, ["image"] * 2), tmp_path / "pack.parquet")
        with pytest.raises(SourceError, match="has 2 columns image"):
            ids(f"parquet:{tmp_path}/pack.parquet")
        twice = pa.StructArray.from_arrays([pa.array([png()])] * 2, names=["bytes", "bytes"])
        pq.write_table(pa.table({"image": twice}), tmp_path / "pack.parquet")
        with pytest.raises(SourceError, match="it must be binary, or a struct of bytes and path"):
            ids(f"parquet:{tmp_path}/pack.parquet")

    @pytest.mark.parametrize("column", [{"image": ["text"] * 5}, {"image_id": list(range(5))}])
    def test_a_column_of_another_type_is_refused(self, tmp_path, column):
        write_pack(tmp_path / "pack.parquet", **column)
        with pytest.raises(SourceError, match=f"the column {next(iter(column))} is"):
            ids(f"parquet:{tmp_path}/pack.parquet")

    def test_a_row_without_image_is_left_out(self, tmp_path):
        write_pack(tmp_path / "pack.parquet", image=[png(), None, png(), png(), png()])
        skipped: list[SkippedPhoto] = []
        read = [photo.image_id for photo in read_photos(open_source(f"parquet:{tmp_path}/pack.parquet"), skipped)]
        assert (read, [photo.image_id for photo in skipped]) == (["p0", "p2", "p3", "p4"], ["p1"])

    def test_a_folder_of_them_is_refused(self, tmp_path):
        with pytest.raises(SourceError, match="is a folder; name one of its files"):
            open_source(f"parquet:{tmp_path}")

    def test_a_file_that_is_not_parquet_is_refused(self, tmp_path):
        (tmp_path / "pack.parquet").write_text("id,photo\n")
        with pytest.raises(SourceError, match="cannot be read as Parquet"):
            ids(f"parquet:{tmp_path}/pack.parquet")

    def test_two_photos_of_one_name_are_refused(self, tmp_path):
        write_pack(tmp_path / "pack.parquet", image_id=["p0", "p1", "p2", "p1", "p4"])
        source = open_source(f"parquet:{tmp_path}/pack.parquet")
        with pytest.raises(SourceError, match="two photos are called 'p1'"):
            list(read_photos(source, []))
        with pytest.raises(SourceError, match="two photos are called 'p1'"):
            fingerprint(source)


class TestUrls:
    def test_a_folder_is_read_from_any_file_system(self):
        files = fsspec.filesystem("memory")
        for name, content in {"a.png": png(1), "deep/b": png(2), "notes.txt": b"?"}.items():
            files.pipe_file(f"/photos/{name}", content)
        with Summary() as summary:
            photos = list(open_source("folder:memory://photos?limit=2").encoded())
        assert [(photo.image_id, photo.data) for photo in photos] == [("a.png", png(1)), ("deep/b", png(2))]
        assert summary.lines() == ["notes.txt: left out, not a photo"]

    def test_a_parquet_file_is_read_from_any_file_system(self, pack):
        fsspec.filesystem("memory").pipe_file("/packs/pack.parquet", pack.read_bytes())
        assert ids("parquet:memory://packs/pack.parquet?split=test") == ["p1", "p3"]

    @pytest.mark.parametrize("protocol", ["file", "local"])
    def test_a_url_of_this_machine_is_as_careful_as_a_path(self, folder, protocol):
        os.mkfifo(folder / "pipe.png")
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        with Summary() as summary:
            assert ids(f"folder:{protocol}://{folder}") == ["a.png", "sub/deep/b.PNG"]
        assert any(line == "pipe.png: left out, not a file" for line in summary.lines())

    @pytest.mark.parametrize(
        "spec", ["folder:memory://nowhere", "folder:nonsense://x", "parquet:memory://nowhere.parquet"]
    )
    def test_a_url_that_leads_nowhere_is_refused(self, spec):
        with pytest.raises(SourceError, match=spec.split("://")[0]):
            ids(spec)

    @pytest.mark.parametrize("spec", ["folder:failing://photos", "parquet:failing://photos.parquet"])
    def test_what_a_library_of_a_file_system_raises_is_a_source_error(self, spec):
        fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
        with pytest.raises(SourceError, match="NoCredentialsError: log in"):
            ids(spec)


class NoCredentialsError(Exception):
    """As libraries of cloud storage raise it."""


class FailingFileSystem(fsspec.AbstractFileSystem):
    protocol = "failing"

    def _fail(self, *arguments, **options):
        raise NoCredentialsError("NoCredentialsError: log in")

    isdir = info = ls = open = _fail


class TestSpecification:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("ftp:photos", "unknown kind of source 'ftp'; the kinds are: bundled, folder, parquet, dataset"),
            ("", "unknown kind"),
            ("bundled?colour=red", "unknown key 'colour'; the keys are: split, scene, limit"),
            ("bundled?limit=0", "whole number"),
            ("bundled?limit=-3", "whole number"),
            ("bundled?limit=many", "whole number"),
            ("bundled?split=", "write split once"),
            ("bundled?split=a&split=b", "write split once"),
            ("bundled:here", "takes no path"),
            ("folder:", "lacks a path"),
            ("parquet", "lacks a path"),
            ("parquet:nowhere.parquet", "no such file"),
            ("dataset:imagenet", "no dataset is called 'imagenet'; there are: clic2020"),
        ],
    )
    def test_a_mistake_is_answered_with_what_is_valid(self, spec, message):
        with pytest.raises(SourceError) as caught:
            open_source(spec)
        assert message in str(caught.value)

    def test_a_source_remembers_how_it_was_written(self):
        assert open_source("bundled?limit=1").spec == "bundled?limit=1"

    def test_a_path_may_start_at_home(self, folder, monkeypatch):
        monkeypatch.setenv("HOME", str(folder.parent))
        assert ids("folder:~/photos?limit=1") == ["a.png"]


class TestFingerprint:
    def test_it_is_that_of_the_content_not_of_the_place(self, folder, tmp_path):
        first = fingerprint(open_source(f"folder:{folder}"))
        folder.rename(tmp_path / "moved")
        assert fingerprint(open_source(f"folder:{tmp_path}/moved")) == first

    def test_it_changes_with_a_photo(self, folder):
        before = fingerprint(open_source(f"folder:{folder}"))
        (folder / "a.png").write_bytes(png(9))
        assert fingerprint(open_source(f"folder:{folder}")) != before

    def test_it_changes_with_a_name(self, folder):
        before = fingerprint(open_source(f"folder:{folder}"))
        (folder / "a.png").rename(folder / "c.png")
        assert fingerprint(open_source(f"folder:{folder}")) != before

    def test_it_changes_with_the_selection(self):
        assert fingerprint(open_source("bundled?limit=1")) != fingerprint(open_source("bundled?limit=2"))

    def test_an_empty_selection_has_none(self, tmp_path):
        with pytest.raises(SourceError, match="no photos"):
            fingerprint(open_source(f"folder:{tmp_path}"))


@pytest.mark.skipif("CLC_DATA" not in os.environ, reason="set CLC_DATA to a folder with kodak.parquet")
def test_the_kodak_pack_decodes():
    skipped: list[SkippedPhoto] = []
    source = open_source(f"parquet:{os.environ['CLC_DATA']}/kodak.parquet")
    shapes = [photo.pixels.shape for photo in read_photos(source, skipped)]
    assert skipped == []
    assert len(shapes) == 24
    assert set(shapes) == {(512, 768, 3), (768, 512, 3)}


@pytest.mark.parametrize("spec", ["bundled", "bundled?split=reference", "bundled?limit=5", "folder", "folder?limit=3"])
def test_positions_pick_the_same_photos_as_reading_them_all(tmp_path: Path, spec: str) -> None:
    for name in "abcde":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    source = open_source(spec.replace("folder", f"folder:{tmp_path}"))
    assert_positions_pick(source)
    assert_positions_pick(CombinedPhotos([open_source("bundled?limit=2"), source]))


def test_positions_pick_the_same_rows_of_a_file_with_several_row_groups(tmp_path: Path) -> None:
    columns = {name: [f"{name}-{i}" for i in range(9)] for name in ("image_id", "source", "licence")}
    columns |= {"width": [1] * 9, "height": [1] * 9, "image": [b"x"] * 9}
    pq.write_table(pa.table(columns), tmp_path / "photos.parquet", row_group_size=4)
    assert_positions_pick(open_source(f"parquet:{tmp_path / 'photos.parquet'}"))


def assert_positions_pick(source: PhotoSource) -> None:
    everything = [photo.image_id for photo in source.encoded()]
    for start, stop in ((0, None), (0, 2), (2, 4), (3, 100), (100, 200), (1, None)):
        assert [photo.image_id for photo in source.encoded(start, stop)] == everything[start:stop]
