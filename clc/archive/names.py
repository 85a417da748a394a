"""Names of members: which there may be, how they are printed, and which files they are unpacked to."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from clc.errors import ArchiveError

MAX_NAME_BYTES = 4096


def check_name(name: str) -> str:
    """The name itself. Raises ArchiveError unless it is relative, stays in its folder, and is UTF-8 without NUL.

    >>> check_name("2026/summer/a.jpg")
    '2026/summer/a.jpg'
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise ArchiveError(f"the name {name!r} is not valid UTF-8; rename the file") from error
    if not 0 < size <= MAX_NAME_BYTES:
        raise ArchiveError(f"the name {name[:60]!r} has {size:,} bytes; 1 to {MAX_NAME_BYTES:,} are allowed")
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ArchiveError(f"the name {name!r} is not that of a file inside a folder; rename it")
    return name


def printable(name: str) -> str:
    r"""The name on one line, with control characters, line ends and backslashes escaped.

    >>> print(printable("two\nlines.jpg"))
    two\nlines.jpg
    """
    return "".join(
        each if each.isprintable() and each != "\\" else each.encode("unicode_escape").decode() for each in name
    )


def file_names(names: Sequence[str], suffix: str | None) -> dict[str, str]:
    """The file that each member is unpacked to: its own name with another suffix, or with its own; no two the same.

    Where two would be, on any file system (some ignore case, and the Unicode form), the suffix comes behind the whole
    name, and a number too if need be. It depends on all names of the archive, whichever are unpacked.

    >>> file_names(["a.jpg", "b.jpg", "b.png", "B.PNG"], ".png")
    {'a.jpg': 'a.png', 'b.jpg': 'b.jpg.png', 'b.png': 'b.png.png', 'B.PNG': 'B.PNG (2).png'}
    >>> file_names(["c", "c.jpg"], ".png")
    {'c': 'c.png', 'c.jpg': 'c.jpg.png'}
    """
    short = {name: name if suffix is None else _with_suffix(name, suffix) for name in names}
    claims = Counter(map(_folded, short.values()))
    folders = {_folded(folder) for name in names for folder in _folders(name)}
    claims.update(folders)
    taken = folders | {claim for claim, count in claims.items() if count == 1}
    chosen: dict[str, str] = {}
    for name in names:
        target, number = short[name], 1
        if claims[_folded(target)] > 1:
            target = name + (suffix or "")
            while _folded(target) in taken:
                number += 1
                target = f"{name} ({number}){suffix or ''}"
            taken.add(_folded(target))
        chosen[name] = target
    return chosen


def _folders(name: str) -> Iterator[str]:
    return (str(folder) for folder in PurePosixPath(name).parents if folder.name)


def _with_suffix(name: str, suffix: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}{suffix}"))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
