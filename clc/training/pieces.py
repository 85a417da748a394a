"""A file in pieces of bounded size, for machines from which only small files can be carried.

`NAME.json` names the pieces in order; their bytes, one after the other, are those of the file. It is replaced
atomically once they are all there, so a killed writer leaves the pieces before it whole.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from clc.errors import TrainingError

_DIGITS = 12  # of the SHA-256, which tells the pieces of one content from those of another


def index_of(path: Path) -> Path:
    """The file that names the pieces of `path`."""
    return path.with_name(f"{path.name}.json")


def write_pieces(path: Path, data: bytes, most: int) -> None:
    """Write `data` as pieces of at most `most` bytes beside `path`, and remove those of what was there before.

    Raises OSError if a file cannot be written: what was there before is whole then.
    """
    before = _named(path)
    digest = hashlib.sha256(data).hexdigest()
    names = [f"{path.name}.{digest[:_DIGITS]}.{start // most:03d}" for start in range(0, max(len(data), 1), most)]
    try:
        for number, name in enumerate(names):
            _write(path.with_name(name), data[number * most : (number + 1) * most])
        index = index_of(path)
        partial = index.with_suffix(".partial")
        _write(partial, json.dumps({"sha256": digest, "bytes": len(data), "pieces": names}).encode())
        partial.replace(index)
    except OSError:
        for name in set(names) - set(before):
            path.with_name(name).unlink(missing_ok=True)
        raise
    for name in set(before) - set(names):
        path.with_name(name).unlink(missing_ok=True)


def read_pieces(path: Path) -> bytes:
    """The bytes of a file that was written in pieces. Raises TrainingError if one is missing or damaged."""
    index = index_of(path)
    try:
        said = json.loads(index.read_text())
        data = b"".join(path.with_name(name).read_bytes() for name in said["pieces"])
        whole = hashlib.sha256(data).hexdigest() == said["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{index} and the pieces that it names cannot be read ({error}); copy all of them"
        ) from error
    if not whole:
        raise TrainingError(f"the pieces that {index} names are not as they were written; copy them again")
    return data


def remove_pieces(path: Path) -> None:
    """Remove what `write_pieces` wrote, if it did."""
    names = _named(path)
    index_of(path).unlink(missing_ok=True)
    for name in names:
        path.with_name(name).unlink(missing_ok=True)


def _named(path: Path) -> list[str]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return [str(name) for name in json.loads(index_of(path).read_text())["pieces"]]
    return []


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
