"""`clc list`, `clc unpack` and `clc verify`: what is in an archive."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clc.commands.album_report import ReportOption, check_report, report_of_list
from clc.commands.codec import MaxPixelsOption
from clc.commands.columns import print_columns
from clc.commands.options import OverwriteOption, StoreOption, output_folder_option
from clc.commands.standard import announce
from clc.errors import ArchiveError, ProfileError
from clc.images.encode import PictureFormat
from clc.runtime.exit import print_error

if TYPE_CHECKING:
    from clc.archive.container import ArchiveReader

ArchiveArgument = Annotated[str, typer.Argument(metavar="ALBUM.clca", help="An archive: a path, or an fsspec URL.")]
_LOSSY = (PictureFormat.JPEG, PictureFormat.WEBP, PictureFormat.AVIF)


def list_photos(
    archive: ArchiveArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Everything the index says, as JSON.")] = False,
    page: ReportOption = None,
    force: OverwriteOption = False,
    max_pixels: MaxPixelsOption = None,
    store: StoreOption = None,
) -> None:
    """List the photos of an archive, or show them on a page."""
    if page is not None:
        if as_json:
            raise ProfileError("--report writes a page, --json prints a list; give one of them")
        return _show(archive, page, force, max_pixels, store)

    from clc.archive.describe import describe_members
    from clc.archive.names import printable

    with _opened(archive) as opened:
        members = describe_members(opened)
        if as_json:
            typer.echo(json.dumps(list(members), indent=2))
            return
        rows = [("photo", "pixels", "quality", "bytes", "of", "modified", "kept", "refers to")]
        for each in members:
            pixels = f"{each['width']}x{each['height']}"
            modified = str(each["modified"] or "")[:16].replace("T", " ")
            sizes = (f"{each['bytes']:,}", f"{each['original_bytes']:,}")
            keys = ", ".join(map(printable, each["refers_to"]))
            kept = "original" if each["original_kept_bytes"] is not None else "lossless" if each["lossless"] else ""
            rows.append((printable(str(each["name"])), pixels, f"{each['quality']:g}", *sizes, modified, kept, keys))
        print_columns(rows)


def unpack(
    archive: ArchiveArgument,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Photos, or patterns as 'summer/*'. Default: all.")
    ] = None,
    output_folder: Annotated[
        Path | None, output_folder_option("Default: the archive's name without its suffix, here.", "-o")
    ] = None,
    format: Annotated[PictureFormat, typer.Option(case_sensitive=False, help="Of the pictures.")] = PictureFormat.PNG,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="Of jpeg (default 95), avif (90) or webp (lossless).")
    ] = None,
    force: OverwriteOption = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="From an archive that is cut short or damaged: whatever is whole.")
    ] = False,
    originals: Annotated[
        bool, typer.Option("--originals", help="The files that were packed, to the byte, where they were kept.")
    ] = False,
    max_pixels: MaxPixelsOption = None,
    store: StoreOption = None,
) -> None:
    """Decode photos of an archive into a folder, with the times and permissions that they had.

    Of several, one that fails is named, the others are done, and the exit code is 1.
    """
    if quality is not None and format not in _LOSSY:
        raise ProfileError(f"{format.value} is lossless and has no quality; leave out --quality")
    if originals and (salvage or quality is not None or format is not PictureFormat.PNG):
        raise ProfileError("--originals gives files as they were packed; leave out --format, --quality and --salvage")

    from clc.archive.album import StoreStreamDecoder
    from clc.archive.byte_ranges import open_ranges
    from clc.archive.unpacker import PictureFolder, select, unpack_originals, unpack_salvaged
    from clc.archive.unpacker import unpack as unpack_members

    folder = PictureFolder(output_folder or _folder_of(archive), format, quality, force)
    decoder = StoreStreamDecoder(store, max_pixels=max_pixels)
    if salvage:
        results = unpack_salvaged(open_ranges(archive), decoder, folder, names or ())
        return _report(results, folder.root)
    with _opened(archive) as opened:
        chosen = select(opened.names, names or ())
        if originals:
            return _report(unpack_originals(opened, folder, chosen), folder.root)
        _report(unpack_members(opened, decoder, folder, chosen), folder.root)


def verify(
    archive: ArchiveArgument,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every photo, too.")] = False,
    max_pixels: MaxPixelsOption = None,
    store: StoreOption = None,
) -> None:
    """Check every hash of an archive. Exits with 1 if something is wrong."""
    from clc.archive.album import StoreStreamDecoder
    from clc.archive.names import printable
    from clc.archive.soundness import verify_archive

    with _opened(archive, damaged_exits_with=1) as opened:
        decoder = StoreStreamDecoder(store, max_pixels=max_pixels) if decode else None
        wrong = 0
        for name, problem in verify_archive(opened, decoder):
            if problem:
                wrong += 1
                typer.echo(f"{printable(name)}: {problem}")
        if wrong or opened.torn:
            typer.echo(f"{wrong} of {opened.index.members} photos are damaged")
            raise typer.Exit(1)
        how = "every hash as recorded" + (", every photo decoded" if decode else "")
        typer.echo(f"{archive} is whole: {opened.index.members} photos, {how}")


def print_info(archive: str) -> None:
    """Print numbers of an archive as JSON."""
    from clc.archive.describe import describe_archive

    with _opened(archive) as opened:
        typer.echo(json.dumps(describe_archive(opened), indent=2))


@contextmanager
def _opened(archive: str, *, damaged_exits_with: int = 2) -> "Iterator[ArchiveReader]":
    from clc.archive.byte_ranges import open_ranges
    from clc.archive.container import ArchiveReader

    source = open_ranges(archive)
    try:
        opened = ArchiveReader(source)
    except ArchiveError as error:
        print_error(str(error))
        raise typer.Exit(damaged_exits_with) from error
    if opened.torn:
        print_error(
            f"{archive}: {opened.torn:,} bytes behind the last whole index: adding to it was interrupted (the same "
            "`clc add` goes on), or it is damaged (`clc unpack --salvage` recovers what is whole)"
        )
    try:
        yield opened
    finally:
        opened.close()


def _show(archive: str, page: Path, force: bool, max_pixels: int | None, store: str | None) -> None:
    from clc.archive.album import Album, StoreStreamDecoder

    check_report(page, archive, store=store, overwrite=force)
    with _opened(archive) as opened:
        report_of_list(page, Album(opened, StoreStreamDecoder(store, max_pixels=max_pixels)), overwrite=force)
    announce(str(page), f"report of {archive}")


def _folder_of(archive: str) -> Path:
    name = Path(archive.rpartition("/")[2])
    return Path(name.stem) if name.suffix else Path(f"{name}.photos")


def _report(results: "Iterator", root: Path) -> None:
    done = failed = 0
    for each in results:
        if each.path is None:
            failed += 1
            print_error(each.reason)
        else:
            done += 1
    typer.echo(f"{root}: {done} photos" + (f", {failed} not unpacked" if failed else ""))
    if failed:
        raise typer.Exit(1)
