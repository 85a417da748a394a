"""`clc compress`, `clc decompress`, `clc info`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from clc.commands.batch import Batch, Finished, naming
from clc.commands.options import (
    BackboneOption,
    JobsOption,
    OverwriteOption,
    QuietOption,
    StoreOption,
    StrictOption,
    output_folder_option,
)
from clc.commands.standard import STANDARD, StandardInput, read_standard_input
from clc.commands.tasks import Task, check, plan
from clc.errors import BitstreamError, ClcError, OutputError, ProfileError
from clc.images.encode import PictureFormat, encode, format_of, suffix_of

EffortOption = Annotated[
    int,
    typer.Option(
        help="0 to 9: search for a smaller file or a better picture. 3 takes about 5 times as long, 6 about 30 "
        "times, 9 about 150 times; decoding takes no longer.",
    ),
]
MaxPixelsOption = Annotated[
    int | None, typer.Option(min=1, help="Refuse larger images, before memory is allocated for them. Default: 2^27.")
]
FolderOption = Annotated[Path | None, output_folder_option("Write into this folder; it is made if it is not there.")]

_STREAM_SUFFIX = ".clc"


def compress(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO",
            help="Images, and folders of them, each of which goes to a .clc file beside it; or one image and the name "
            "of its stream, which ends in .clc. - is standard input or output.",
        ),
    ],
    output_folder: FolderOption = None,
    force: OverwriteOption = False,
    quality: Annotated[
        float | None, typer.Option(min=1, max=100, help="1 (smallest) to 100 (best). Default: 50.")
    ] = None,
    bpp: Annotated[float | None, typer.Option(help="Instead: bits per pixel of the file, met within 2 %.")] = None,
    psnr: Annotated[float | None, typer.Option(help="Instead: dB of the decoded picture, met within 2 %.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Model version. Default: alias production, else the one that comes with CLC.")
    ] = None,
    dictionary: Annotated[
        str | None, typer.Option(help="Dictionary version. Default: the one the model was trained with.")
    ] = None,
    references: Annotated[bool, typer.Option(help="Use references from the dictionary.")] = True,
    effort: EffortOption = 0,
    backbone: BackboneOption = None,
    max_pixels: MaxPixelsOption = None,
    strip: Annotated[bool, typer.Option("--strip", help="Carry no EXIF and XMP.")] = False,
    strip_gps: Annotated[bool, typer.Option("--strip-gps", help="Carry EXIF and XMP without the position.")] = False,
    keep_profile: Annotated[
        bool, typer.Option("--keep-profile", help="Leave colours as they are and carry their profile. Default: sRGB.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Decode each stream again, and print the PSNR. Takes twice as long.")
    ] = False,
    jobs: JobsOption = None,
    quiet: QuietOption = False,
    strict: StrictOption = False,
    store: StoreOption = None,
) -> None:
    """Compress images to .clc files, which get the times of theirs.

    Several are independent: one that fails is named, the others are done, and the exit code is 1.
    """
    if not references and (dictionary or backbone):
        raise ProfileError("--no-references uses no dictionary; leave out --dictionary and --backbone")
    tasks = plan(files, folder=output_folder, suffix=_STREAM_SUFFIX, names_output=_names_stream, inside=_photos_in)
    check(tasks, folder=output_folder, overwrite=force)

    from clc.api import DEFAULT, load
    from clc.codec.decisions.effort import check_effort
    from clc.codec.decisions.targets import Compressed, Target
    from clc.codec.size_limit import MAX_PIXELS
    from clc.images.metadata import Carry

    target = Target.choose(quality, bpp, psnr)
    check_effort(effort)
    codec = load(
        model or DEFAULT,
        store=store,
        dictionary=dictionary,
        backbone=backbone,
        max_pixels=max_pixels or MAX_PIXELS,
    )

    def finish(_: Task, written: Compressed) -> Finished:
        measured = f", {written.psnr:.2f} dB" if written.psnr is not None else ""
        size = f"{len(written.data)} bytes, {written.bpp:.4f} bpp"
        message = f"{size}{measured}, quality {written.quality:g}, {_coded_with(written.data)}"
        return Finished(written.data, message, written.psnr)

    results = codec.compress_each(
        [StandardInput() if task.source == STANDARD else task.source for task in tasks],
        target,
        references=references,
        effort=effort,
        carry=Carry(strip=strip, strip_gps=strip_gps, keep_profile=keep_profile),
        jobs=jobs,
        measure=measure,
    )
    Batch(tasks, overwrite=force, quiet=quiet).run(results, finish)


def decompress(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="STREAM",
            help="Streams, and folders of them, each of which goes to a picture beside it; or one stream and the name "
            "of its picture. - is standard input or output.",
        ),
    ],
    output_folder: FolderOption = None,
    force: OverwriteOption = False,
    format: Annotated[
        PictureFormat | None,
        typer.Option(case_sensitive=False, help="Of the pictures. Default: what the output's name says, else png."),
    ] = None,
    post: Annotated[
        bool,
        typer.Option(
            "--post", help="Run the post-processing of the stream's model over the picture. Slower; few models have it."
        ),
    ] = False,
    max_pixels: MaxPixelsOption = None,
    jobs: JobsOption = None,
    quiet: QuietOption = False,
    strict: StrictOption = False,
    store: StoreOption = None,
) -> None:
    """Decode .clc files to pictures, which get their times, with the models and dictionaries that they name.

    PNG, TIFF and WebP are lossless; JPEG is written at quality 95, AVIF at quality 90, both 4:4:4.
    Several are independent: one that fails is named, the others are done, and the exit code is 1.
    """
    tasks = plan(
        files,
        folder=output_folder,
        suffix=suffix_of(format or PictureFormat.PNG),
        names_output=lambda name: not _is_stream_name(name),
        inside=_streams_in,
    )
    formats = {task: format or _format_of(task.output) for task in tasks}
    check(tasks, folder=output_folder, overwrite=force)

    import numpy as np

    from clc.codec.size_limit import MAX_PIXELS
    from clc.store.shipped import LayeredStore
    from clc.store_decoder import StoreDecoder, metadata_of

    def decode(decoder: StoreDecoder, task: Task) -> Finished | ClcError:
        try:
            stream = _read(task.source)
            picture = decoder.decompress(stream, post=post)
            metadata = metadata_of(stream, task.source)
            encoded = encode(np.asarray(picture), formats[task], name=task.output, metadata=metadata)
        except ClcError as error:
            return error
        return Finished(encoded, f"{picture.width}x{picture.height}")

    decoder = StoreDecoder(LayeredStore(store), max_pixels=max_pixels or MAX_PIXELS)
    results = decoder.for_each(decode, tasks, jobs=jobs)
    Batch(tasks, overwrite=force, quiet=quiet).run(results, lambda _, finished: finished)


def info(stream: Annotated[str, typer.Argument(help="A .clc file, an archive, or - for standard input.")]) -> None:
    """Print the header and the section sizes of a .clc file, or what a .clca archive holds, as JSON."""
    from clc.archive.framing import is_archive
    from clc.codec.bitstream import describe

    if stream != STANDARD and is_archive(_beginning(stream)):
        from clc.commands.archive import print_info

        return print_info(stream)
    try:
        described = describe(_read(stream))
    except BitstreamError as error:
        raise BitstreamError(naming(stream, str(error))) from error
    typer.echo(json.dumps(described, indent=2))


def _coded_with(data: bytes) -> str:
    """The versions that a stream needs, and what else is in it, for people."""
    from clc.codec.bitstream import Bitstream

    stream = Bitstream.from_bytes(data)
    header = stream.header
    said = [f"model {header.model_id}"]
    said.append(f"dictionary {header.dictionary_id}" if header.references else "no references")
    if stream.picture is not None:
        said.append("without loss")
    if stream.metadata is not None:
        said.append(f"{len(stream.metadata)} bytes of metadata")
    return ", ".join(said)


def _photos_in(folder: Path) -> list[str]:
    from clc.images.sources.folder import FolderSource

    return FolderSource(folder).image_ids()


def _streams_in(folder: Path) -> list[str]:
    from clc.images.sources.folder import FolderSource

    return FolderSource(folder, lambda name, _: None if _is_stream_name(name) else "not a .clc file").image_ids()


def _beginning(stream: str) -> bytes:
    from clc.archive.framing import HEADER_BYTES

    if not os.path.isfile(stream):
        return b""
    with open(stream, "rb") as file:
        return file.read(HEADER_BYTES)


def _read(stream: str) -> bytes:
    from clc.codec.stream_file import read_stream

    return read_standard_input() if stream == STANDARD else read_stream(Path(stream))


def _is_stream_name(name: str) -> bool:
    return Path(name).suffix.lower() == _STREAM_SUFFIX


def _names_stream(name: str) -> bool:
    """Whether the second of two names is the first one's output, not another image."""
    if _is_stream_name(name):
        return True
    if os.path.exists(name):
        return False
    raise OutputError(f"{name}: there is no such image, and an output's name ends in {_STREAM_SUFFIX}")


def _format_of(output: str) -> PictureFormat:
    return PictureFormat.PNG if output == STANDARD else format_of(Path(output))
