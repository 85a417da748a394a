"""Download files so that a broken network costs time but never a wrong file, and fetch whole datasets.

A download grows as `NAME.part`; its validator (ETag or Last-Modified) is kept in `NAME.part.json`, so that another
call, or another process after a crash, continues where this one stopped if the file on the server is still the same.
`NAME` itself appears only when the file is complete and its checksum is right.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from clc.errors import FetchError
from clc.images.datasets.fetched import FetchedFile, FetchRecord
from clc.images.datasets.manifests import DatasetFile, DatasetManifest
from clc.images.datasets.unpack import extract_archive

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are on disk so far and the total, None if the server does not say."""

_LONGEST_WAIT = 30.0  # seconds between two attempts
_TRANSIENT_STATUS = (408, 425, 429)  # beside 5xx


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    expected_bytes: int | None = None,
    retries: int = 5,
    backoff: float = 1.0,
    timeout: float = 60.0,
    progress: Progress | None = None,
) -> str:
    """Download `url` to `path` and return the file's SHA-256 (hex). A file that is already there and right is kept.

    Dropped connections, short bodies, timeouts and 5xx are tried again after `backoff` seconds, doubling, until
    `retries` attempts in a row have brought nothing new; each attempt continues where the last one stopped if the
    server can. `timeout` is the longest silence in seconds. Redirects are followed.

    Raises FetchError if the server refuses (4xx), the attempts are used up, the disk cannot be written, or the file
    has not the expected size or checksum; a wrong file is removed.
    """
    try:
        if path.is_file() and _is_right(path, sha256, expected_bytes):
            return file_sha256(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _Partial(path.with_name(path.name + ".part"), url, expected_bytes)
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            _complete(partial, client, retries, backoff, progress)
        digest = partial.accept(sha256)
        os.replace(partial.path, path)
    except OSError as error:
        raise FetchError(f"{path}: cannot be written: {error.strerror or error}") from error
    return digest


def fetch_dataset(manifest: DatasetManifest, root: Path, progress: Progress | None = None) -> Path:
    """Download and unpack what is missing of a dataset into `root`/NAME, and return that folder.

    The record `fetched.json` is written after each file, so that an interrupted fetch goes on where it stopped and a
    second one does nothing. A downloaded archive is deleted once it is unpacked; one that the user placed is kept.
    Files without a digest in the manifest are recorded, and logged, as unverified.
    Raises FetchError if a file cannot be had or is wrong, with the manifest's instruction if it has to be placed by
    hand; BadDownloadError if an archive is hostile or damaged; SourceError if the record is damaged.
    """
    folder = root / manifest.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = FetchRecord.load(folder)
        missing = record.missing(manifest, folder)
        for file in manifest.files:
            if file.filename in missing:
                record.files[file.filename] = _fetch_file(file, manifest, folder, progress)
                record.save(folder)
            if file.archive and file.url is not None:
                (folder / file.filename).unlink(missing_ok=True)
    except OSError as error:
        raise FetchError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


def file_sha256(path: Path) -> str:
    """The SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_file(file: DatasetFile, manifest: DatasetManifest, folder: Path, progress: Progress | None) -> FetchedFile:
    path = folder / file.filename
    if file.url is not None:
        digest = download(file.url, path, sha256=file.sha256, expected_bytes=file.bytes, progress=progress)
    elif not path.is_file():
        raise FetchError(f"{manifest.name} cannot be downloaded automatically. {manifest.manual} Place it as {path}")
    elif not _is_right(path, file.sha256, file.bytes):
        raise FetchError(f"{path} is not the file that the manifest of {manifest.name} describes")
    else:
        digest = file_sha256(path)
    if file.sha256 is None:
        logger.warning("%s: unverified, the manifest has no digest; recorded sha256 %s", file.filename, digest)
    fetched = FetchedFile(sha256=digest, bytes=path.stat().st_size, verified=file.sha256 is not None)
    if file.archive:
        # What is there was left by an older archive, or by a fetch that ended before it was recorded.
        shutil.rmtree(folder / file.result, ignore_errors=True)
        extract_archive(path, folder / file.result)
    return fetched


def _is_right(path: Path, sha256: str | None, expected_bytes: int | None) -> bool:
    if expected_bytes is not None and path.stat().st_size != expected_bytes:
        return False
    return sha256 is None or file_sha256(path) == sha256


class _TransientError(Exception):
    """An attempt ended early in a way that another attempt may mend."""


def _complete(
    partial: "_Partial", client: httpx.Client, retries: int, backoff: float, progress: Progress | None
) -> None:
    """Attempt the download until it is whole; only attempts that bring nothing new count against `retries`."""
    furthest = partial.size()
    failures = 0
    while True:
        try:
            partial.attempt(client, progress)
            return
        except (_TransientError, httpx.TransportError) as error:
            if isinstance(error, httpx.UnsupportedProtocol):
                raise FetchError(f"{partial.url}: not a URL that can be downloaded") from error
            failures = 1 if partial.size() > furthest else failures + 1
            furthest = max(furthest, partial.size())
            if failures > retries:
                raise FetchError(f"{partial.url}: gave up after {failures} attempts: {error}") from error
            time.sleep(min(backoff * 2 ** (failures - 1), _LONGEST_WAIT))
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise FetchError(f"{partial.url}: {error}") from error


@dataclass
class _Partial:
    """A download that is under way: the `.part` file and what is needed to continue it."""

    path: Path
    url: str
    expected_bytes: int | None

    @property
    def _validator_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def attempt(self, client: httpx.Client, progress: Progress | None) -> None:
        """One request. Returns if the file is whole; raises _TransientError or httpx.TransportError if it is not."""
        with client.stream("GET", self.url, headers=self._request_headers()) as response:
            offset = self._offset(response)
            if offset == 0:
                self._restart(response)
            total = _file_size(response)
            if self.expected_bytes is not None and total not in (None, self.expected_bytes):
                raise self._refuse(f"has {total} bytes, not the expected {self.expected_bytes}")
            with self.path.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                # Raw: a Content-Encoding that we did not ask for belongs to the file (.tar.gz on some servers).
                # No chunk size: to fill one, httpx holds bytes back and forgets them when the connection drops.
                for chunk in response.iter_raw():
                    file.write(chunk)
                    if self.expected_bytes is not None and file.tell() > self.expected_bytes:
                        raise self._refuse(f"sends more than the expected {self.expected_bytes} bytes")
                    if progress is not None:
                        progress(file.tell(), total)
                file.truncate()
        wanted = self.expected_bytes if total is None else total
        if wanted is not None and self.size() != wanted:
            raise _TransientError(f"got {self.size()} of {wanted} bytes")

    def accept(self, sha256: str | None) -> str:
        """The digest of the whole file, safely on disk. Raises FetchError and removes the file if it is wrong."""
        with self.path.open("r+b") as file:  # writable: some systems sync only what may be written
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        if sha256 is not None and digest != sha256:
            raise self._refuse(f"has the SHA-256 {digest}, not the expected {sha256}")
        self._validator_path.unlink(missing_ok=True)
        return digest

    def _request_headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if (validator := self._validator()) is not None and (size := self.size()) > 0:
            headers |= {"Range": f"bytes={size}-", "If-Range": validator}
        return headers

    def _validator(self) -> str | None:
        """The stored ETag or date, if it belongs to this URL and can be understood; else the download starts over."""
        try:
            stored = json.loads(self._validator_path.read_text(encoding="utf-8"))
            return str(stored["validator"]) if stored["url"] == self.url else None
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    def _offset(self, response: httpx.Response) -> int:
        """Where in the file the response's body begins."""
        status = response.status_code
        if status == 200:
            return 0
        if status == 206:
            start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if start is not None and int(start[1]) == self.size():
                return self.size()
        if status in (206, 416):
            # The server and we disagree about what is there: forget it.
            self._discard()
            raise _TransientError(f"the server cannot continue the download (status {status})")
        if status >= 500 or status in _TRANSIENT_STATUS:
            raise _TransientError(f"status {status} {response.reason_phrase}")
        raise FetchError(f"{self.url}: status {status} {response.reason_phrase}")

    def _restart(self, response: httpx.Response) -> None:
        """Forget what was downloaded before, and note what the new body is."""
        self._discard()
        etag = response.headers.get("ETag", "")
        # A weak ETag does not promise the same bytes, so it cannot guard a range.
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        if validator:
            note = json.dumps({"url": self.url, "validator": validator})
            self._validator_path.write_text(note, encoding="utf-8")

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator_path.unlink(missing_ok=True)

    def _refuse(self, what: str) -> FetchError:
        self._discard()
        return FetchError(f"{self.url} {what}")


def _file_size(response: httpx.Response) -> int | None:
    """The size of the whole file in bytes, as the response states it: a range may be shorter than the rest."""
    if response.status_code == 206:
        stated = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        stated = response.headers.get("Content-Length", "")
    return int(stated) if stated.isdigit() else None
