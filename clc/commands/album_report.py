"""`--report` of `clc pack` and `clc list`: a page about an archive."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clc.commands.outputs import check_page
from clc.commands.progress import progress
from clc.errors import OutputError
from clc.runtime.files import file_key
from clc.store import Store

if TYPE_CHECKING:
    from clc.archive.album import Album
    from clc.archive.coding import StoreCoder
    from clc.archive.inputs import Inputs
    from clc.archive.packer import PackSummary

ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="PAGE.html", help="Write an HTML page about the archive: what refers to what."),
]


def check_report(
    page: Path, archive: str, *, store: str | None, overwrite: bool, photos: Collection[Path] = ()
) -> None:
    """Refuse a page before the work for it, also if what makes it is not installed.

    photos: files of which the archive is made. Raises OutputError for the archive itself, and as `check_page`.
    """
    import clc.archive.album_page  # noqa: F401

    if file_key(page) == file_key(Path(archive.removeprefix("file://"))):
        raise OutputError(f"{page} is the archive; name another file for the report")
    check_page(page, store=Store(store), overwrite=overwrite, sources=photos)


def report_of_list(page: Path, album: "Album", *, overwrite: bool) -> None:
    """Write the page of an archive that is there. Raises what `write_album_page` raises."""
    from clc.archive.album_page import write_album_page

    with progress("report", len(album)) as shown:
        write_album_page(page, album, report=lambda done: shown(done, "decoded"), overwrite=overwrite)


def report_of_pack(
    page: Path,
    archive: Path,
    inputs: "Inputs",
    coder: "StoreCoder",
    summary: "PackSummary",
    *,
    store: str | None,
    overwrite: bool,
) -> None:
    """Write the page of an archive that was just packed, with what JPEG and AVIF would take.

    Raises what `alternatives` and `write_album_page` raise.
    """
    from clc.archive.album import Album, StoreStreamDecoder
    from clc.archive.album_page import write_album_page
    from clc.archive.alternatives import alternatives, chosen
    from clc.archive.groups import grouped
    from clc.archive.writer import open_archive

    with Album(open_archive(archive), StoreStreamDecoder(store, max_pixels=coder.max_pixels)) as album:
        names = chosen([picture.name for picture in grouped(album.archive).pictures])
        with progress("measure", len(names)) as shown:
            measured = alternatives(
                album,
                inputs,
                set(names),
                max_pixels=coder.max_pixels,
                carry=coder.settings.carry,
                report=lambda done: shown(done, "measured"),
            )
        with progress("report", len(album)) as shown:
            write_album_page(
                page,
                album,
                plan=summary.plan,
                measured=measured,
                failed=summary.failed,
                report=lambda done: shown(done, "decoded"),
                overwrite=overwrite,
            )
