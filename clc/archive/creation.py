"""Making an archive of photos, and adding photos to one: the files, the locks, and going on after an interruption."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clc.archive.byte_ranges import LocalFile
from clc.archive.coding import PhotoCoder
from clc.archive.container import ArchiveReader
from clc.archive.framing import HEADER_BYTES, WORK_KEY_BYTES, header, is_archive
from clc.archive.inputs import Inputs
from clc.archive.keeping import OriginalKeeper
from clc.archive.originals import jpeg_transcoder
from clc.archive.packer import LeftStreams, Packer, PackSummary
from clc.archive.plan import ArchivePlan
from clc.archive.planning import plan_for
from clc.archive.records import FoundStream, settings_in, whole_streams
from clc.archive.size_sample import budget_for
from clc.archive.writer import ArchiveWriter, locked
from clc.errors import ArchiveError, ImageError, OutputError
from clc.runtime.cores import available_cores
from clc.runtime.files import check_output, file_key, put_in_place

Report = Callable[[PackSummary], None]


def part_of(output: Path) -> Path:
    """Where an archive is while it is being made."""
    return output.with_name(f"{output.name}.part")


def create_archive(
    output: Path,
    inputs: Inputs,
    coder: PhotoCoder,
    *,
    overwrite: bool = False,
    restart: bool = False,
    threads: int | None = None,
    report: Report = lambda _: None,
    plan: ArchivePlan | None = None,
    keep_originals: bool = False,
) -> tuple[PackSummary, int]:
    """Pack photos into a new archive, whole or not there; what became of them, and the bytes of the archive.

    Until it is whole it is `part_of(output)`, which an interrupted run leaves and the next one goes on with.
    restart: begin again instead if that was made with other settings. plan: as for `Packer.pack`; by default, photos
    are compared, where the coder takes key photos.
    Raises OutputError for an output that is there, without `overwrite`, or cannot be written; ArchiveError if another
    process makes it, or if what is left of it was made otherwise; ImageError if no photo could be packed. And as
    `OriginalKeeper`, before anything is written.
    """
    if keep_originals:
        jpeg_transcoder()
    _check_sources(output, inputs)
    check_output(output, overwrite=overwrite)
    part = part_of(output)
    with _full_disk(part), locked(part, create=True) as file:
        if not os.path.lexists(part) or not os.path.samestat(os.fstat(file.fileno()), os.stat(part)):
            raise ArchiveError(f"{output}: another process has just made it; name another file")
        left = _left_in(part, coder, restart)
        keeper = OriginalKeeper(None, left.source, HEADER_BYTES) if keep_originals else None
        end = max((found.extent.end for found in left.streams.values()), default=0)
        if keeper is not None and end:
            end = max(end, keeper.end)
        os.ftruncate(file.fileno(), end)
        writer = ArchiveWriter(file, at=end)
        if not left.streams:
            writer.begin(coder.settings.digest)
        try:
            summary = _packed(writer, inputs, coder, left, keeper=keeper, threads=threads, report=report, plan=plan)
            if not writer.members:
                name, reason = summary.failed[0] if summary.failed else ("", "there are none")
                why = reason if reason.startswith(name) else f"{name}: {reason}"
                raise ImageError(
                    f"none of {len(summary.failed)} photos could be packed, and {output} is not made: {why}"
                )
        except BaseException:
            if file.tell() <= HEADER_BYTES:  # nothing to go on with
                part.unlink(missing_ok=True)
            raise
        writer.close()
        put_in_place(part, output, overwrite=overwrite)
        return summary, writer.size


def stream_archive(
    file: BinaryIO,
    inputs: Inputs,
    coder: PhotoCoder,
    *,
    threads: int | None = None,
    report: Report = lambda _: None,
    keep_originals: bool = False,
) -> tuple[PackSummary, int]:
    """`create_archive` into what cannot seek, a pipe for one. Raises OSError if it cannot be written."""
    writer = ArchiveWriter(file)
    writer.begin(coder.settings.digest)
    keeper = OriginalKeeper() if keep_originals else None
    summary = _packed(writer, inputs, coder, keeper=keeper, threads=threads, report=report)
    writer.close()
    return summary, writer.size


def add_to_archive(
    path: Path,
    inputs: Inputs,
    coder: PhotoCoder,
    *,
    threads: int | None = None,
    report: Report = lambda _: None,
    keep_originals: bool = False,
) -> tuple[PackSummary, int]:
    """Add photos to an archive; what became of them, and its bytes. Nothing that is in the file is changed.

    What an interrupted run left behind its end is used. Raises ArchiveError if it is no archive, or if another process
    adds to it; OutputError if it cannot be written: it is as it was then.
    """
    _check_sources(path, inputs)
    with _full_disk(path), locked(path) as file:
        source = LocalFile(path)
        try:
            archive = ArchiveReader(source)
            found = whole_streams(source, archive.footer.end) if archive.torn else iter(())
            left = LeftStreams(source, _by_label(found))
            writer = ArchiveWriter(file, archive, source.size)
            writer.begin(coder.settings.digest)
            keeper = OriginalKeeper(archive, source, archive.footer.end) if keep_originals else None
            summary = _packed(
                writer, inputs, coder, left, archive=archive, keeper=keeper, threads=threads, report=report
            )
            if summary.packed:
                writer.close()
            return summary, writer.size
        finally:
            source.close()


def _packed(
    writer: ArchiveWriter,
    inputs: Inputs,
    coder: PhotoCoder,
    left: LeftStreams | None = None,
    *,
    archive: ArchiveReader | None = None,
    keeper: OriginalKeeper | None = None,
    threads: int | None = None,
    report: Report,
    plan: ArchivePlan | None = None,
) -> PackSummary:
    import torch

    before = torch.get_num_threads()
    threads = threads or available_cores()
    try:
        if plan is None:
            plan = plan_for(inputs, coder, report, threads, archive)
        budget = None if coder.settings.size is None else budget_for(inputs, coder, coder.settings.size, plan, threads)
        packer = Packer(writer, coder, archive=archive, left=left, budget=budget, threads=threads, keeper=keeper)
        packer.summary.failed += inputs.unusable
        return packer.pack(inputs, report, plan)
    finally:
        torch.set_num_threads(before)


def _left_in(part: Path, coder: PhotoCoder, restart: bool) -> LeftStreams:
    source = LocalFile(part)
    start = source.read(0, HEADER_BYTES)
    if is_archive(start) and len(start) == HEADER_BYTES and start != header():
        if not restart:
            raise ArchiveError(f"{part} was begun by another release of CLC; --force begins again")
        return LeftStreams(source, {})
    if start != header()[: len(start)]:
        raise ArchiveError(f"{part} is there, and is no archive that was interrupted; move it away")
    if settings_in(source, HEADER_BYTES) - {coder.settings.digest[:WORK_KEY_BYTES]}:
        if not restart:
            raise ArchiveError(
                f"{part} was begun with another model or quality; give these again to go on with it, or --force to "
                "begin again"
            )
        return LeftStreams(source, {})
    return LeftStreams(source, _by_label(whole_streams(source, HEADER_BYTES)))


def _by_label(found: Iterator[FoundStream]) -> dict[tuple[bytes, str], FoundStream]:
    return {(each.label.work, each.label.name): each for each in found if each.label.work}


def _check_sources(output: Path, inputs: Inputs) -> None:
    key = file_key(output)
    if any(photo.path is not None and file_key(photo.path) == key for photo in inputs.photos):
        raise OutputError(f"{output} is one of the photos, which would be lost; name another file")


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; make room, then run the same command again, which "
            "goes on where this one stopped"
        ) from error
