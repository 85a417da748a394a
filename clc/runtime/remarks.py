"""What the owner of a photo should know of: what was left out, or became something else.

Each remark is a record of this module's logger, with the photo and what happened as attributes, so that whoever runs
many photos can add them up: `Summary` does.
"""

import logging
import os

from clc.errors import SourceError

STRICT_VARIABLE = "CLC_STRICT"
"""Environment variable: if it is set to anything but 0, a photo that is left out is an error. Workers inherit it."""

_NAMED = 3
logger = logging.getLogger(__name__)


def remark(photo: str, what: str) -> None:
    """Say what happened to a photo that is used."""
    logger.warning("%s: %s", photo, what, extra={"photo": photo, "what": what})


def leave_out(photo: str, why: str, source: str) -> None:
    """Say that a file of a source is not used. Raises SourceError if that is not to happen (`STRICT_VARIABLE`)."""
    if is_strict():
        raise SourceError(
            f"{source}: {printable(photo)} cannot be used: {why}; repair or remove it, or do without --strict"
        )
    remark(printable(photo), f"left out, {why}")


def is_strict() -> bool:
    """Whether a photo that would be left out is an error."""
    return os.environ.get(STRICT_VARIABLE, "0") not in ("", "0")


def printable(name: str) -> str:
    r"""A file's name as text on one line that any output takes: bytes that are not UTF-8 as \xNN, line ends as \n.

    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Summary(logging.Handler):
    """Collects remarks; `lines` has one for each thing that happened, however many photos it happened to.

    >>> summary = Summary()
    >>> with summary:
    ...     for photo in ("a.png", "b.png", "c.png", "d.png"):
    ...         remark(photo, "transparency became white")
    >>> summary.lines()
    ['transparency became white: 4 files (a.png, b.png, c.png, ...)']
    """

    def __init__(self) -> None:
        super().__init__()
        self._photos: dict[str, set[str]] = {}  # of each remark; a source that is read twice says all twice

    def __enter__(self) -> "Summary":
        self._propagates, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        logger.removeHandler(self)
        logger.propagate = self._propagates

    def emit(self, record: logging.LogRecord) -> None:
        self._photos.setdefault(str(record.__dict__["what"]), set()).add(str(record.__dict__["photo"]))

    def lines(self) -> list[str]:
        """What happened, and to which photos; the first few are named. In an order that threads do not change."""
        photos = sorted((sorted(names), what) for what, names in self._photos.items())
        return [_line(what, names) for names, what in photos]


def _line(what: str, photos: list[str]) -> str:
    if len(photos) == 1:
        return f"{photos[0]}: {what}"
    more = ", ..." if len(photos) > _NAMED else ""
    return f"{what}: {len(photos)} files ({', '.join(photos[:_NAMED])}{more})"
