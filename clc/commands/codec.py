"""`clc compress`, `clc decompress`, `clc info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import BackboneOption, StoreOption
from clc.errors import BitstreamError, MissingArtifactError, ProfileError
from clc.files import write_atomically
from clc.store import Kind, Store, Version

InputArgument = Annotated[Path, typer.Argument(help="Input file.")]
OutputArgument = Annotated[Path, typer.Argument(help="Output file; written only if all went well.")]


def compress(
    image: InputArgument,
    output: OutputArgument,
    quality: Annotated[float, typer.Option(min=1, max=100, help="1 (smallest) to 100 (best).")] = 50.0,
    model: Annotated[str | None, typer.Option(help="Model version. Default: alias production, else latest.")] = None,
    dictionary: Annotated[
        str | None, typer.Option(help="Dictionary version. Default: the one the model was trained with.")
    ] = None,
    references: Annotated[bool, typer.Option(help="Use references from the dictionary.")] = True,
    backbone: BackboneOption = None,
    store: StoreOption = None,
) -> None:
    """Compress an image to a .clc file."""
    from clc.images import read_image

    if not references and (dictionary or backbone):
        raise ProfileError("--no-references uses no dictionary; leave out --dictionary and --backbone")
    pixels = read_image(image)
    opened = Store(store)
    model_version = opened.get(Kind.MODEL, model) if model else _default_model(opened)
    from clc.codec.artifact import open_codec, reference_latents

    if references:
        from clc.dictionary.encoder import open_encoder

        dictionary_version = opened.get(Kind.DICTIONARY, dictionary or model_version.attributes["dictionary"])
        reference_latents(dictionary_version, model_version, store=opened)  # a dictionary that is new to this model
        codec, _ = open_encoder(opened, model_version, dictionary_version, backbone=backbone)
    else:
        codec = open_codec(opened, model_version)
    data = codec.compress(pixels, quality=quality, references=references)
    write_atomically(output, data)
    height, width = pixels.shape[:2]
    typer.echo(f"{output}: {len(data)} bytes, {8 * len(data) / (height * width):.4f} bpp")


def decompress(stream: InputArgument, output: OutputArgument, store: StoreOption = None) -> None:
    """Decode a .clc file to a PNG, with the model and dictionary that it names."""
    from clc.codec.bitstream import Bitstream

    data = _read(stream)
    header = Bitstream.from_bytes(data).header
    opened = Store(store)
    model = opened.get(Kind.MODEL, header.model_id)
    dictionary = opened.get(Kind.DICTIONARY, header.dictionary_id) if header.references else None
    from clc.codec.artifact import open_codec
    from clc.images import write_png

    pixels = open_codec(opened, model, dictionary).decompress(data)
    write_png(pixels, output)
    typer.echo(f"{output}: {header.width}x{header.height}")


def info(stream: InputArgument) -> None:
    """Print the header and the section sizes of a .clc file as JSON."""
    from clc.codec.bitstream import describe

    typer.echo(json.dumps(describe(_read(stream)), indent=2))


def _default_model(store: Store) -> Version:
    aliases = store.aliases.list(Kind.MODEL)
    for name in ("production", "latest"):
        if name in aliases:
            return store.get(Kind.MODEL, name)
    raise MissingArtifactError(
        f"{store.url} has no model with alias production or latest; train one with `clc pipeline run --profile demo`, "
        "or name one with --model"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BitstreamError(f"{path} cannot be read: {error.strerror or error}") from error
