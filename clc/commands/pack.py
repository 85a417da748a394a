"""`clc pack` and `clc add`: photos into an archive."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clc.commands.album_report import ReportOption, check_report, report_of_pack
from clc.commands.codec import EffortOption, MaxPixelsOption
from clc.commands.columns import print_columns
from clc.commands.options import JobsOption, StoreOption, StrictOption
from clc.commands.progress import progress
from clc.commands.standard import STANDARD, announce, read_standard_input
from clc.errors import OutputError, ProfileError
from clc.runtime.exit import print_error
from clc.runtime.files import is_special, open_special

if TYPE_CHECKING:
    from clc.archive.coding import StoreCoder
    from clc.archive.inputs import Inputs
    from clc.archive.packer import PackSummary
    from clc.images.metadata import Carry

PhotosArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTOS",
        help="Folders, files, patterns, or sources as parquet:PATH; - reads a list of files from standard input, one a "
        "line (or separated by NUL).",
    ),
]
QualityOption = Annotated[float | None, typer.Option(min=1, max=100, help="1 (smallest) to 100 (best). Default: 50.")]
PsnrOption = Annotated[float | None, typer.Option(help="Instead: dB of each decoded photo, met within 2 %.")]
SizeOption = Annotated[
    str | None,
    typer.Option(help="Instead: bytes of the whole archive, at most, as 50MB or 1.5GiB; one quality for all."),
]
ModelOption = Annotated[
    str | None, typer.Option(help="Model version. Default: alias production, else the one that comes with CLC.")
]
ReferencesOption = Annotated[
    bool,
    typer.Option(help="Let photos refer to key photos of the archive, where they resemble each other."),
]

StripOption = Annotated[bool, typer.Option("--strip", help="Keep no EXIF and XMP.")]
StripGpsOption = Annotated[bool, typer.Option("--strip-gps", help="Keep EXIF and XMP without the position.")]
KeepProfileOption = Annotated[
    bool, typer.Option("--keep-profile", help="Leave colours as they are and keep their profile. Default: sRGB.")
]
KeepOriginalsOption = Annotated[
    bool,
    typer.Option("--keep-originals", help="Keep the files too, as small as gives them back to the byte."),
]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_INTERRUPTED = 130
_GOES_ON = "interrupted; the same command goes on where this one stopped, unless it wrote to a pipe"


def pack(
    photos: PhotosArgument,
    output: Annotated[str, typer.Option("--output", "-o", help="The archive, ALBUM.clca; - is standard output.")],
    quality: QualityOption = None,
    psnr: PsnrOption = None,
    size: SizeOption = None,
    model: ModelOption = None,
    references: ReferencesOption = True,
    effort: EffortOption = 0,
    strip: StripOption = False,
    strip_gps: StripGpsOption = False,
    keep_profile: KeepProfileOption = False,
    keep_originals: KeepOriginalsOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and write nothing.")] = False,
    page: ReportOption = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace outputs that are there, or what is left of an archive made otherwise."),
    ] = False,
    max_pixels: MaxPixelsOption = None,
    jobs: JobsOption = None,
    strict: StrictOption = False,
    store: StoreOption = None,
) -> None:
    """Pack photos into one archive, from which each is read by itself.

    Interrupted, it leaves ALBUM.clca.part, and the same command goes on. Photos that cannot be read are named, the
    others are packed, and the exit code is 1.
    """
    from clc.archive.creation import create_archive, stream_archive
    from clc.images.metadata import Carry

    piped = output == STANDARD or is_special(Path(output))
    if page is not None and (dry_run or piped):
        raise ProfileError(
            "--report is about an archive in a file; leave it out, or name a file and do without --dry-run"
        )
    if keep_originals and size is not None:
        raise ProfileError("--keep-originals keeps whole files, which no --size has room for; leave out one of them")
    with _interruptible():
        inputs = _find(photos)
        if page is not None:
            files = [photo.path for photo in inputs.photos if photo.path is not None]
            check_report(page, output, store=store, overwrite=force, photos=files)
        carry = Carry(strip=strip, strip_gps=strip_gps, keep_profile=keep_profile)
        coder = _coder(quality, psnr, size, model, references, effort, carry, max_pixels, store)
        if dry_run:
            return _print_plan(inputs, coder, jobs)
        with _progress(inputs) as report:
            if piped:
                with _opened(output) as file:
                    summary, written = stream_archive(
                        file, inputs, coder, threads=jobs, report=report, keep_originals=keep_originals
                    )
            else:
                path = Path(output)
                summary, written = create_archive(
                    path,
                    inputs,
                    coder,
                    overwrite=force,
                    restart=force,
                    threads=jobs,
                    report=report,
                    keep_originals=keep_originals,
                )
    if page is not None:
        with _interruptible(f"interrupted; {output} is whole, and `clc list --report` makes a page, too"):
            report_of_pack(page, Path(output), inputs, coder, summary, store=store, overwrite=force)
        announce(str(page), f"report of {output}")
    _conclude(output, summary, written)


def add(
    archive: Annotated[Path, typer.Argument(metavar="ALBUM.clca", help="An archive.")],
    photos: PhotosArgument,
    quality: QualityOption = None,
    psnr: PsnrOption = None,
    model: ModelOption = None,
    references: ReferencesOption = True,
    effort: EffortOption = 0,
    strip: StripOption = False,
    strip_gps: StripGpsOption = False,
    keep_profile: KeepProfileOption = False,
    keep_originals: KeepOriginalsOption = False,
    max_pixels: MaxPixelsOption = None,
    jobs: JobsOption = None,
    strict: StrictOption = False,
    store: StoreOption = None,
) -> None:
    """Add photos to an archive. Those that it has already are left out; one of another content is refused.

    Nothing that is in the file is changed: interrupted, the archive is as it was, and the same command goes on.
    """
    from clc.archive.creation import add_to_archive
    from clc.images.metadata import Carry

    with _interruptible():
        inputs = _find(photos)
        carry = Carry(strip=strip, strip_gps=strip_gps, keep_profile=keep_profile)
        coder = _coder(quality, psnr, None, model, references, effort, carry, max_pixels, store)
        with _progress(inputs) as report:
            summary, written = add_to_archive(
                archive, inputs, coder, threads=jobs, report=report, keep_originals=keep_originals
            )
    _conclude(str(archive), summary, written)


def parse_size(text: str) -> int:
    """Bytes. Raises ProfileError for what is no size.

    >>> parse_size("50MB"), parse_size("1.5 KiB"), parse_size("800")
    (50000000, 1536, 800)
    """
    matched = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(matched[2].lower()) if matched else None
    if matched is None or unit is None or (size := int(float(matched[1]) * unit)) < 1:
        raise ProfileError(f"{text!r} is no size; write it as 50MB, 800kB or 1.5GiB")
    return size


def _find(photos: Sequence[str]) -> "Inputs":
    from clc.archive.inputs import find_inputs

    listed: list[str] = []
    if STANDARD in photos:
        data = read_standard_input()
        listed = [os.fsdecode(name) for name in data.split(b"\0" if b"\0" in data else b"\n")]
    return find_inputs([each for each in photos if each != STANDARD], listed)


def _coder(
    quality: float | None,
    psnr: float | None,
    size: str | None,
    model: str | None,
    references: bool,
    effort: int,
    carry: "Carry",
    max_pixels: int | None,
    store: str | None,
) -> "StoreCoder":
    wanted = None if size is None else parse_size(size)
    if wanted is not None and (quality is not None or psnr is not None):
        raise ProfileError("--size contradicts --quality and --psnr; give one of them")

    from clc.api import DEFAULT
    from clc.archive.coding import StoreCoder, finds_moved_cameras
    from clc.codec.decisions.targets import Target

    target = Target.choose(quality, None, psnr)
    if references and not finds_moved_cameras():
        print_error(
            "photos of cameras that moved are coded alone: to find where they lie in each other takes scikit-image and "
            "FAISS, pip install 'clc[build]'"
        )
    return StoreCoder(
        model or DEFAULT,
        target,
        size=wanted,
        references=references,
        effort=effort,
        carry=carry,
        store=store,
        max_pixels=max_pixels,
    )


@contextmanager
def _interruptible(advice: str = _GOES_ON) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print_error(advice)
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _opened(output: str) -> Iterator:
    if output != STANDARD:
        with open(open_special(Path(output)), "wb") as file:
            yield file
        return
    if sys.stdout is None:
        raise OutputError("standard output is closed; name a file")
    try:
        yield sys.stdout.buffer
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror or error}; name a file") from error


@contextmanager
def _progress(inputs: "Inputs") -> Iterator[Callable[["PackSummary"], None]]:
    with progress("pack", inputs.count) as report:

        def say(summary: "PackSummary") -> None:
            size = "compared" if summary.looked_at else f"{summary.stream_bytes / 1e6:.2f} MB"
            report(summary.looked_at or summary.seen, size)

        yield say


def _print_plan(inputs: "Inputs", coder: "StoreCoder", jobs: int | None) -> None:
    """Who refers to whom, and what all of it is expected to take: some photos are coded to tell."""
    from clc.archive.expected import expected_bytes
    from clc.archive.names import printable
    from clc.archive.opened import duplicates
    from clc.archive.planning import plan_for

    with _progress(inputs) as report:
        plan = plan_for(inputs, coder, report, jobs)
    rows = [("photo", "plan", "quality", "refers to")]
    coded: list[str] = []
    failed = list(inputs.unusable)
    for photo, same, reason in duplicates(inputs, max_pixels=coder.max_pixels):
        if reason:
            failed.append((photo.name, reason))
        elif same:
            rows.append((printable(photo.name), f"same picture as {printable(same)}", "", ""))
        else:
            planned = plan[photo.name]
            coded.append(photo.name)
            finer = f"+{planned.finer:g}" if planned.finer else ""
            rows.append((printable(photo.name), str(planned.role), finer, ", ".join(map(printable, planned.keys))))
    print_columns(rows)
    summary = f"{len(rows) - 1} photos, {len(coded)} to code"
    if coded and coder.settings.size is None:
        planned_bytes, alone_bytes = expected_bytes(inputs, coder, plan, coded)
        summary += f", about {planned_bytes:,.0f} bytes"
        if plan.photos:
            summary += f" instead of {alone_bytes:,.0f} with each alone"
    typer.echo(f"{summary}; nothing is written")
    _fail_if(failed)


def _conclude(output: str, summary: "PackSummary", written: int) -> None:
    parts = [f"{summary.packed} photos, {written:,} bytes"]
    if summary.original_bytes:
        parts.append(
            f"{100 * summary.stream_bytes / summary.original_bytes:.1f} % of the files' {summary.original_bytes:,}"
        )
    counts = {"refer to key photos": summary.referring, "the same as another": summary.same}
    counts |= {"from the interrupted run": summary.reused}
    counts |= {"in it already": summary.already, "not packed": len(summary.failed)}
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    announce(output, ", ".join(parts))
    if summary.unused:
        print_error(
            f"{output}: {summary.unused} streams of the interrupted run, {summary.unused_bytes:,} bytes, are of photos "
            "that are not packed as they were; they stay in the file, unused, and packing it anew does without them"
        )
    _fail_if(summary.failed)


def _fail_if(failed: Sequence[tuple[str, str]]) -> None:
    from clc.archive.names import printable

    for name, reason in failed:
        shown = printable(name)
        print_error(reason if reason.startswith(shown) else f"{shown}: {reason}")
    if failed:
        raise typer.Exit(1)
