"""Downloads against a real local server that misbehaves as told."""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from clc.errors import BadDownloadError, FetchError, SourceError
from clc.images import DatasetManifest, FetchRecord, dataset_names, datasets_dir, load_manifest, open_source
from clc.images.datasets.fetch import download, fetch_dataset

CONTENT = bytes(index * 7 % 251 for index in range(100_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`. The faults apply to the first answers, one each; `requests` records (path, Range header)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/file.bin": CONTENT}
        self.faults: list[str] = []
        self.requests: list[tuple[str, str | None]] = []
        self.etag: str | None = '"v1"'
        self.honours_range = True

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        asked = self.headers["Range"]
        self.server.requests.append((self.path, asked))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault.isdigit():
            self.send_error(int(fault))
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file.bin")
            self.end_headers()
            return
        if self.path not in self.server.files:
            self.send_error(404)
            return
        self.answer(self.server.files[self.path], asked, fault)

    def answer(self, content: bytes, asked: str | None, fault: str) -> None:
        start = 0
        if asked and self.server.honours_range and self.headers["If-Range"] == self.server.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = content[start : start + 30_000] if fault == "short-range" else content[start:]
        self.send_response(206 if start else 200)
        if start:
            first = 0 if fault == "wrong-range" else start
            self.send_header("Content-Range", f"bytes {first}-{start + len(body) - 1}/{len(content)}")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        length = {"claims-more": len(body) + 500, "claims-less": len(body) - 500}.get(fault, len(body))
        if fault not in ("no-length", "no-length-drop"):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault in ("drop", "no-length-drop") else body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / "file.bin"


def fetch(server: Server, path, **options) -> str:
    return download(server.url(), path, **({"backoff": 0.001, "timeout": 5, "retries": 3} | options))


def left_over(path) -> list[str]:
    return sorted(other.name for other in path.parent.iterdir())


class TestDownload:
    def test_a_file_arrives_whole_with_its_digest(self, server, path):
        assert fetch(server, path, sha256=SHA256, expected_bytes=len(CONTENT)) == SHA256
        assert path.read_bytes() == CONTENT
        assert left_over(path) == ["file.bin"]

    def test_progress_counts_bytes_to_the_total(self, server, path):
        seen: list[tuple[int, int | None]] = []
        fetch(server, path, progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert seen == sorted(seen)

    def test_a_redirect_is_followed(self, server, path):
        download(server.url("/moved"), path)
        assert path.read_bytes() == CONTENT

    def test_a_file_that_is_there_is_not_downloaded_again(self, server, path):
        fetch(server, path, sha256=SHA256)
        assert fetch(server, path, sha256=SHA256) == SHA256
        assert len(server.requests) == 1

    def test_a_wrong_file_that_is_there_is_replaced(self, server, path):
        path.parent.mkdir()
        path.write_bytes(b"something else")
        fetch(server, path, sha256=SHA256)
        assert path.read_bytes() == CONTENT

    def test_a_dropped_connection_is_continued_where_it_broke(self, server, path):
        server.faults = ["drop", "drop"]
        fetch(server, path, sha256=SHA256)
        assert path.read_bytes() == CONTENT
        assert [asked for _, asked in server.requests] == [None, "bytes=50000-", "bytes=75000-"]

    def test_more_drops_than_retries_are_survived_while_each_attempt_brings_something(self, server, path):
        server.faults = ["drop"] * 6
        fetch(server, path, sha256=SHA256, retries=1)
        assert path.read_bytes() == CONTENT

    def test_an_interrupted_download_is_continued_by_a_later_call(self, server, path):
        server.faults = ["drop", "500"]
        with pytest.raises(FetchError, match="gave up"):
            fetch(server, path, retries=0)
        assert path.with_name("file.bin.part").stat().st_size == 50_000
        assert not path.exists()
        server.requests.clear()
        server.faults = []
        fetch(server, path, sha256=SHA256)
        assert path.read_bytes() == CONTENT
        assert [asked for _, asked in server.requests] == ["bytes=50000-"]

    def test_a_file_that_changed_on_the_server_starts_over(self, server, path):
        server.faults = ["drop"]
        with pytest.raises(FetchError):
            fetch(server, path, retries=0)
        server.files["/file.bin"] = bytes(reversed(CONTENT))
        server.etag = '"v2"'
        fetch(server, path)
        assert path.read_bytes() == bytes(reversed(CONTENT))

    def test_a_server_that_ignores_ranges_starts_over(self, server, path):
        server.honours_range = False
        server.faults = ["drop"]
        fetch(server, path, sha256=SHA256)
        assert path.read_bytes() == CONTENT

    @pytest.mark.parametrize("etag", [None, 'W/"weak"'])
    def test_without_a_strong_validator_no_range_is_asked_for(self, server, path, etag):
        server.etag = etag
        server.faults = ["drop"]
        fetch(server, path, sha256=SHA256)
        assert [asked for _, asked in server.requests] == [None, None]

    def test_a_range_shorter_than_asked_for_is_not_the_rest(self, server, path):
        server.faults = ["drop", "short-range"]
        fetch(server, path)
        assert path.read_bytes() == CONTENT

    def test_a_range_that_starts_elsewhere_is_not_pasted_in(self, server, path):
        server.faults = ["drop", "wrong-range"]
        fetch(server, path)
        assert path.read_bytes() == CONTENT

    def test_a_damaged_note_beside_the_part_starts_over(self, server, path):
        path.parent.mkdir()
        path.with_name("file.bin.part").write_bytes(b"half a file")
        path.with_name("file.bin.part.json").write_text("[1, 2")
        fetch(server, path)
        assert path.read_bytes() == CONTENT

    def test_a_body_shorter_than_claimed_is_not_a_file(self, server, path):
        server.honours_range = False
        server.faults = ["claims-more"] * 10
        with pytest.raises(FetchError, match="gave up"):
            fetch(server, path)
        assert not path.exists()

    def test_a_body_longer_than_claimed_fails_its_checksum(self, server, path):
        server.faults = ["claims-less"]
        with pytest.raises(FetchError, match="SHA-256"):
            fetch(server, path, sha256=SHA256)
        assert left_over(path) == []

    def test_a_claim_of_another_size_is_refused_before_the_body(self, server, path):
        seen: list[int] = []
        with pytest.raises(FetchError, match="has 100000 bytes, not the expected 99999"):
            fetch(server, path, expected_bytes=99_999, progress=lambda done, _: seen.append(done))
        assert seen == []

    def test_a_body_without_length_may_not_exceed_the_expected_size(self, server, path):
        server.faults = ["no-length"]
        with pytest.raises(FetchError, match="more than the expected 99999"):
            fetch(server, path, expected_bytes=99_999)
        assert left_over(path) == []

    def test_a_body_without_length_that_stops_early_is_continued(self, server, path):
        server.faults = ["no-length-drop"]
        fetch(server, path, expected_bytes=len(CONTENT))
        assert path.read_bytes() == CONTENT

    def test_a_wrong_checksum_removes_what_arrived(self, server, path):
        with pytest.raises(FetchError, match=f"{SHA256}, not the expected 0000"):
            fetch(server, path, sha256="0" * 64)
        assert left_over(path) == []

    def test_a_missing_file_is_not_asked_for_twice(self, server, path):
        with pytest.raises(FetchError, match="status 404"):
            download(server.url("/nothing"), path)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("status", ["500", "503", "429"])
    def test_a_passing_fault_of_the_server_is_waited_out(self, server, path, status):
        server.faults = [status, status]
        fetch(server, path)
        assert path.read_bytes() == CONTENT

    def test_a_lasting_fault_ends_after_the_retries(self, server, path):
        server.faults = ["500"] * 10
        with pytest.raises(FetchError, match="gave up after 3 attempts: status 500"):
            fetch(server, path, retries=2)
        assert len(server.requests) == 3

    def test_a_server_that_is_not_there_is_a_fetch_error(self, server, path):
        url = server.url()
        server.shutdown()
        server.server_close()
        with pytest.raises(FetchError, match="gave up"):
            download(url, path, retries=1, backoff=0.001)

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://[", "nonsense"])
    def test_what_is_not_a_web_address_is_refused(self, path, url):
        with pytest.raises(FetchError):
            download(url, path, retries=0)

    def test_a_folder_that_cannot_be_written_is_a_fetch_error(self, server, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(FetchError, match="cannot be written"):
            fetch(server, tmp_path / "file" / "file.bin")


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (level, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


def manifest(server: Server, **changes) -> DatasetManifest:
    """Two photos and an archive with two more; only one.png has a digest."""
    server.files |= {
        "/one.png": png(1),
        "/two.png": png(2),
        "/more.zip": zip_of({"in/three.png": png(3), "in/four.png": png(4)}),
    }
    files = [
        {"filename": "one.png", "url": server.url("/one.png"), "sha256": hashlib.sha256(png(1)).hexdigest()},
        {"filename": "two.png", "url": server.url("/two.png")},
        {"filename": "more.zip", "url": server.url("/more.zip"), "archive": True},
    ]
    fields = {
        "name": "small",
        "title": "Small set",
        "licence": "CC0",
        "split": "test",
        "homepage": "https://example.org",
        "images_glob": "**/*.png",
        "files": files,
    }
    return DatasetManifest.model_validate(fields | changes)


class TestFetchDataset:
    def test_photos_and_unpacked_archives_lie_in_the_folder_of_the_name(self, server, tmp_path):
        folder = fetch_dataset(manifest(server), tmp_path)
        assert folder == tmp_path / "small"
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        assert found == ["fetched.json", "more/in/four.png", "more/in/three.png", "one.png", "two.png"]

    def test_the_record_says_what_arrived_and_what_was_verified(self, server, tmp_path, caplog):
        folder = fetch_dataset(manifest(server), tmp_path)
        record = FetchRecord.load(folder)
        assert {name: file.verified for name, file in record.files.items()} == {
            "one.png": True,
            "two.png": False,
            "more.zip": False,
        }
        assert record.files["two.png"].sha256 == hashlib.sha256(png(2)).hexdigest()
        assert "two.png: unverified" in caplog.text
        assert "one.png" not in caplog.text

    def test_a_second_fetch_does_nothing(self, server, tmp_path):
        wanted = manifest(server)
        fetch_dataset(wanted, tmp_path)
        server.requests.clear()
        fetch_dataset(wanted, tmp_path)
        assert server.requests == []

    def test_a_fetch_that_failed_goes_on_where_it_stopped(self, server, tmp_path):
        wanted = manifest(server)
        archive = server.files.pop("/more.zip")
        with pytest.raises(FetchError, match="404"):
            fetch_dataset(wanted, tmp_path)
        server.files["/more.zip"] = archive
        server.requests.clear()
        fetch_dataset(wanted, tmp_path)
        assert [path for path, _ in server.requests] == ["/more.zip"]

    def test_a_deleted_file_is_fetched_again(self, server, tmp_path):
        wanted = manifest(server)
        (fetch_dataset(wanted, tmp_path) / "two.png").unlink()
        assert (fetch_dataset(wanted, tmp_path) / "two.png").read_bytes() == png(2)

    def test_a_hostile_archive_is_refused_and_not_recorded(self, server, tmp_path):
        wanted = manifest(server)
        server.files["/more.zip"] = zip_of({"../evil.png": b""})
        with pytest.raises(BadDownloadError, match="outside"):
            fetch_dataset(wanted, tmp_path)
        assert "more.zip" not in FetchRecord.load(tmp_path / "small").files
        assert not (tmp_path / "small/evil.png").exists()

    def test_a_file_without_url_asks_the_user_for_it(self, server, tmp_path):
        wanted = manifest(server, files=[{"filename": "by-hand.zip", "archive": True}], manual="Ask the authors.")
        with pytest.raises(FetchError, match=r"Ask the authors\. Place it as .*by-hand\.zip"):
            fetch_dataset(wanted, tmp_path)

    def test_a_file_that_the_user_placed_is_unpacked_and_kept(self, server, tmp_path):
        wanted = manifest(server, files=[{"filename": "by-hand.zip", "archive": True}], manual="Ask the authors.")
        (tmp_path / "small").mkdir()
        (tmp_path / "small/by-hand.zip").write_bytes(zip_of({"five.png": png(5)}))
        folder = fetch_dataset(wanted, tmp_path)
        assert (folder / "by-hand/five.png").read_bytes() == png(5)
        assert (folder / "by-hand.zip").exists()

    def test_a_damaged_record_says_what_to_do(self, server, tmp_path):
        wanted = manifest(server)
        (fetch_dataset(wanted, tmp_path) / "fetched.json").write_text("{")
        with pytest.raises(SourceError, match=r"fetched\.json is damaged; delete it"):
            fetch_dataset(wanted, tmp_path)


class TestDatasetSource:
    @pytest.fixture
    def root(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CLC_DATASETS", str(tmp_path))
        return tmp_path

    def test_a_dataset_that_was_not_fetched_names_the_command(self, root):
        with pytest.raises(SourceError, match="run: clc data fetch kodak"):
            list(open_source("dataset:kodak").encoded())

    def test_a_dataset_of_which_a_file_is_missing_names_the_command(self, root):
        lay_out(root, load_manifest("kodak"))
        assert len(list(open_source("dataset:kodak").encoded())) == 24
        (root / "kodak/kodim07.png").unlink()
        with pytest.raises(SourceError, match="run: clc data fetch kodak"):
            list(open_source("dataset:kodak").encoded())

    def test_photos_carry_what_the_manifest_says_of_them(self, root):
        lay_out(root, load_manifest("kodak"))
        first = next(iter(open_source("dataset:kodak?split=test&limit=1").encoded()))
        assert (first.image_id, first.split, first.source) == (
            "kodim01.png",
            "test",
            "Kodak Lossless True Color Image Suite",
        )

    def test_image_ids_leave_out_the_fixed_folders_of_the_glob(self, root):
        wanted = load_manifest("flickr2k")
        lay_out(root, wanted)
        photo = root / "flickr2k/Flickr2K/Flickr2K_HR/000001.png"
        photo.parent.mkdir(parents=True)
        photo.write_bytes(png(1))
        assert [found.image_id for found in open_source("dataset:flickr2k").encoded()] == ["000001.png"]


def lay_out(root, wanted: DatasetManifest) -> None:
    """Make `root` look as if the dataset had been fetched, with one-colour photos."""
    folder = root / wanted.name
    folder.mkdir()
    record = {}
    for file in wanted.files:
        (folder / file.result).mkdir() if file.archive else (folder / file.result).write_bytes(png(9))
        record[file.filename] = {"sha256": file.sha256 or "0" * 64, "bytes": 1, "verified": file.sha256 is not None}
    (folder / "fetched.json").write_text(json.dumps({"files": record}))


class TestManifests:
    def test_the_shipped_manifests_are_valid(self):
        assert dataset_names() == ["clic2020-professional-validation", "flickr2k", "flickr2w", "kodak"]
        for name in dataset_names():
            assert load_manifest(name).name == name

    def test_kodak_is_24_verified_photos(self):
        files = load_manifest("kodak").files
        assert [file.filename for file in files] == [f"kodim{number:02d}.png" for number in range(1, 25)]
        assert all(file.sha256 and file.bytes for file in files)

    @pytest.mark.parametrize(
        "changes",
        [
            {"colour": "red"},
            {"name": "../evil"},
            {"images_glob": "../**/*.png"},
            {"images_glob": "/etc/*"},
            {"files": []},
            {"files": [{"filename": "a.png"}]},
            {"files": [{"filename": "a/b.png", "url": "https://example.org/b"}]},
            {"files": [{"filename": "a.png", "url": "file:///etc/passwd"}]},
            {"files": [{"filename": "a.png", "url": "https://example.org/a", "sha256": "abc"}]},
            {"files": [{"filename": "a.png", "url": "https://example.org/a"}] * 2},
            {"files": [{"filename": "archive", "url": "https://example.org/a", "archive": True}]},
        ],
    )
    def test_a_manifest_with_a_mistake_is_refused(self, server, changes):
        with pytest.raises(ValueError, match="validation error"):
            manifest(server, **changes)

    def test_datasets_lie_in_data_unless_the_environment_says_otherwise(self, monkeypatch, tmp_path):
        monkeypatch.delenv("CLC_DATASETS", raising=False)
        assert datasets_dir().as_posix() == "data"
        monkeypatch.setenv("CLC_DATASETS", str(tmp_path))
        assert datasets_dir() == tmp_path
