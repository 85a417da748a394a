"""`clc compress`, `clc decompress`, `clc info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import BackboneOption, StoreOption
from clc.errors import ProfileError

InputArgument = Annotated[Path, typer.Argument(help="Input file.")]
MaxPixelsOption = Annotated[
    int | None, typer.Option(min=1, help="Refuse larger images, before memory is allocated for them. Default: 2^26.")
]
OutputArgument = Annotated[Path, typer.Argument(help="Output file; written only if all went well.")]


def compress(
    image: InputArgument,
    output: OutputArgument,
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
    backbone: BackboneOption = None,
    max_pixels: MaxPixelsOption = None,
    store: StoreOption = None,
) -> None:
    """Compress an image to a .clc file."""
    if not references and (dictionary or backbone):
        raise ProfileError("--no-references uses no dictionary; leave out --dictionary and --backbone")
    from clc.codec.codec import MAX_PIXELS
    from clc.loading import DEFAULT, load

    codec = load(
        model or DEFAULT,
        store=store,
        dictionary=dictionary,
        backbone=backbone,
        max_pixels=max_pixels or MAX_PIXELS,
    )
    written = codec.compress_file(image, output, quality=quality, bpp=bpp, psnr=psnr, references=references)
    measured = f", {written.psnr:.2f} dB" if written.psnr is not None else ""
    typer.echo(f"{output}: {len(written.data)} bytes, {written.bpp:.4f} bpp{measured}, quality {written.quality:g}")


def decompress(
    stream: InputArgument, output: OutputArgument, max_pixels: MaxPixelsOption = None, store: StoreOption = None
) -> None:
    """Decode a .clc file to a PNG, with the model and dictionary that it names."""
    from clc.codec.codec import MAX_PIXELS
    from clc.decoder import StoreDecoder
    from clc.shipped import LayeredStore

    picture = StoreDecoder(LayeredStore(store), max_pixels=max_pixels or MAX_PIXELS).decompress_file(stream, output)
    typer.echo(f"{output}: {picture.width}x{picture.height}")


def info(stream: InputArgument) -> None:
    """Print the header and the section sizes of a .clc file as JSON."""
    from clc.codec.bitstream import describe
    from clc.codec.stream_file import read_stream

    typer.echo(json.dumps(describe(read_stream(stream)), indent=2))
