"""Outputs are whole or not there, and never take the place of something nobody meant to lose."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clc.errors import OutputError
from clc.runtime import files
from clc.runtime.files import (
    check_output,
    file_key,
    is_special,
    open_atomically,
    put_in_place,
    write_atomically,
    write_page,
)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    path = tmp_path / "there"
    path.write_text("old")
    return path


def read_fifo(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """A thread that reads all that comes through a FIFO."""
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    return reader, received


def test_a_new_file_holds_what_was_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new", b"new", overwrite=False)
    assert (tmp_path / "new").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["new"]


def test_a_new_file_has_the_users_ordinary_permissions(tmp_path: Path, there: Path) -> None:
    write_atomically(tmp_path / "new", b"new", overwrite=False)
    assert (tmp_path / "new").stat().st_mode == there.stat().st_mode


def test_a_file_that_is_there_is_refused(there: Path) -> None:
    with pytest.raises(OutputError, match="is there already; name another file, or replace it: --force"):
        write_atomically(there, b"new", overwrite=False)
    assert there.read_text() == "old"


def test_a_file_that_is_there_is_replaced_if_asked(there: Path) -> None:
    write_atomically(there, b"new", overwrite=True)
    assert there.read_bytes() == b"new"
    assert os.listdir(there.parent) == ["there"]


def test_a_replaced_file_keeps_its_permissions(there: Path) -> None:
    there.chmod(0o600)
    write_atomically(there, b"new", overwrite=True)
    assert stat.S_IMODE(there.stat().st_mode) == 0o600


def test_a_read_only_file_is_refused_even_if_it_may_be_replaced(there: Path) -> None:
    there.chmod(0o444)
    with pytest.raises(OutputError, match="read-only; make it writable"):
        write_atomically(there, b"new", overwrite=True)
    assert there.read_text() == "old"


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path, there: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("there")
    with pytest.raises(OutputError, match="is there already"):
        write_atomically(link, b"new", overwrite=False)
    write_atomically(link, b"new", overwrite=True)
    assert link.is_symlink()
    assert there.read_bytes() == b"new"


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    with pytest.raises(OutputError, match="it is a link to nowhere, which is not there"):
        write_atomically(link, b"new", overwrite=True)
    assert os.listdir(tmp_path) == ["link"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_look(path: Path, overwrite: bool) -> None:
        path.write_text("of another program")

    monkeypatch.setattr(files, "_look_up", first_look)
    with pytest.raises(OutputError, match="cannot be written: File exists"):
        write_atomically(tmp_path / "new", b"new", overwrite=False)
    assert (tmp_path / "new").read_text() == "of another program"


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    write_atomically(tmp_path / "new", b"new", overwrite=False)
    assert (tmp_path / "new").read_bytes() == b"new"


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(there, b"new", overwrite=True)
    assert there.read_text() == "old"
    assert os.listdir(there.parent) == ["there"]


def test_a_file_is_written_piece_by_piece_and_appears_at_the_end(tmp_path: Path) -> None:
    with open_atomically(tmp_path / "new", overwrite=False) as file:
        file.write(b"in ")
        assert not (tmp_path / "new").exists()
        file.write(b"pieces")
    assert (tmp_path / "new").read_bytes() == b"in pieces"
    assert os.listdir(tmp_path) == ["new"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside_it(there: Path) -> None:
    def fail_halfway() -> None:
        with open_atomically(there, overwrite=True) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()
    assert there.read_text() == "old"
    assert os.listdir(there.parent) == ["there"]


def test_a_block_that_fails_writes_nothing_into_a_device() -> None:
    def fail_halfway() -> None:
        with open_atomically(Path("/dev/full"), overwrite=False) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()


def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader, received = read_fifo(fifo)
    write_atomically(fifo, b"new", overwrite=False)
    reader.join(timeout=10)
    assert received == [b"new"]
    assert fifo.is_fifo()


def test_a_character_device_stays_one() -> None:
    write_atomically(Path("/dev/null"), b"new", overwrite=True)
    assert Path("/dev/null").is_char_device()


@pytest.fixture
def open_file(there: Path) -> Iterator[int]:
    """A descriptor of a file that ends with `old`, at its end."""
    descriptor = os.open(there, os.O_WRONLY | os.O_APPEND)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd", "/dev/../dev/fd"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_open_file_is_written_into_from_where_it_stands(
    there: Path, open_file: int, folder: str, overwrite: bool
) -> None:
    path, before = Path(f"{folder}/{open_file}"), there.stat().st_ino
    check_output(path, overwrite=overwrite)
    assert there.read_text() == "old"
    write_atomically(path, b"new", overwrite=overwrite)
    write_atomically(path, b"newer", overwrite=overwrite)
    assert there.read_text() == "oldnewnewer"
    assert there.stat().st_ino == before
    assert is_special(path)
    assert not is_special(there)


def test_an_open_file_is_not_replaced_by_a_finished_one(tmp_path: Path, there: Path, open_file: int) -> None:
    (tmp_path / "finished").write_text("new")
    with pytest.raises(OutputError, match="no ordinary file"):
        put_in_place(tmp_path / "finished", Path(f"/dev/fd/{open_file}"), overwrite=True)
    assert there.read_text() == "old"


def test_a_descriptor_that_cannot_be_written_is_known_before_work_is_done_for_it(there: Path) -> None:
    with there.open("rb") as file, pytest.raises(OutputError, match="cannot be written: it is open to be read"):
        check_output(Path(f"/dev/fd/{file.fileno()}"), overwrite=True)
    with pytest.raises(OutputError, match="/dev/fd/987: cannot be written: it is not open"):
        check_output(Path("/dev/fd/987"), overwrite=True)


def test_a_device_that_takes_nothing_is_an_output_error() -> None:
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left on device"):
        write_atomically(Path("/dev/full"), b"new", overwrite=False)


def test_a_socket_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(OutputError, match="socket: cannot be written"):
            write_atomically(Path("socket"), b"new", overwrite=True)
        assert Path("socket").is_socket()


def test_a_page_replaces_the_page_before_and_makes_its_folder(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_page(tmp_path / "reports" / "page.html", text)
    assert (tmp_path / "reports" / "page.html").read_text() == "second"


def test_a_page_that_may_not_replace_another_is_refused(there: Path) -> None:
    with pytest.raises(OutputError, match="is there already"):
        write_page(there, "second", overwrite=False)
    assert there.read_text() == "old"


@pytest.mark.parametrize("output", ["", "no/such/file", "there/file", "x" * 300])
def test_what_cannot_be_written_is_known_before_work_is_done_for_it(there: Path, output: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(there.parent / output, overwrite=True)


def test_a_checked_output_is_not_touched(tmp_path: Path, there: Path) -> None:
    check_output(there, overwrite=True)
    check_output(tmp_path / "new", overwrite=False)
    assert os.listdir(tmp_path) == ["there"]
    assert there.read_text() == "old"


def test_an_output_that_is_a_source_is_refused(there: Path) -> None:
    with pytest.raises(OutputError, match="is the input too"):
        check_output(there, overwrite=True, sources=[there.parent / "other", there])


def test_all_names_of_a_file_have_one_key(tmp_path: Path, there: Path) -> None:
    (tmp_path / "symbolic").symlink_to("there")
    (tmp_path / "hard").hardlink_to(there)
    with there.open() as opened:
        keys = {file_key(tmp_path / name) for name in ("there", "symbolic", "hard", "./there")} | {
            file_key(opened.fileno())
        }
    assert len(keys) == 1
    assert None not in keys


def test_other_files_have_other_keys_also_before_they_are_there(tmp_path: Path, there: Path) -> None:
    assert len({file_key(tmp_path / name) for name in ("there", "new", "newer")}) == 3


def test_a_device_is_no_file_that_could_be_lost() -> None:
    assert file_key(Path("/dev/null")) is None


def test_a_finished_file_takes_its_place_or_stays_where_it_is(tmp_path: Path) -> None:
    finished, path = tmp_path / "a.part", tmp_path / "a"
    finished.write_text("one")
    put_in_place(finished, path, overwrite=False)
    assert (path.read_text(), finished.exists()) == ("one", False)
    path.chmod(0o600)
    finished.write_text("two")
    with pytest.raises(OutputError, match="there already"):
        put_in_place(finished, path, overwrite=False)
    assert (path.read_text(), finished.read_text()) == ("one", "two")
    put_in_place(finished, path, overwrite=True)
    assert (path.read_text(), finished.exists(), path.stat().st_mode & 0o777) == ("two", False, 0o600)
