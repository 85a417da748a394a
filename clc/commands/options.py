"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from clc.runtime.remarks import STRICT_VARIABLE


def _make_strict(strict: bool) -> bool:
    """By the environment, which processes that this one starts inherit."""
    if strict:
        os.environ[STRICT_VARIABLE] = "1"
    return strict


def output_folder_option(help: str, *short: str) -> Any:
    """`--output-folder`, for what each command says of it. short: other names of it, where nothing else has them."""
    return typer.Option("--output-folder", "-O", *short, parser=_named_folder, metavar="FOLDER", help=help)


def _named_folder(name: str) -> Path:
    """The folder of that name. An empty one, of a shell's variable that is not set, would be the current folder."""
    if not name:
        raise typer.BadParameter("the name is empty; write . for the current folder")
    return Path(name)


StoreOption = Annotated[
    str | None, typer.Option("--store", help="Artifact store: a path or URL. Default: $CLC_STORE, else ./artifacts.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Build again even if the result is published, and compare.")]
OverwriteOption = Annotated[bool, typer.Option("--force", help="Replace outputs that are there, but never an input.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Crop and extract features in this many Dask processes of this machine."),
]
DaskAddressOption = Annotated[
    str | None,
    typer.Option("--dask-address", help="Do so on the workers of this Dask scheduler, tcp://HOST:PORT."),
]
BackboneOption = Annotated[
    str | None,
    typer.Option("--backbone", help="Feature extractor: imagenet, file:PATH, random:SEED, codec:MODEL, hog."),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", callback=_make_strict, help="A file of the source that would be left out ends the command instead."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, help="Photos at once, each on one core; they come out the same. Default: all cores."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but what went wrong or was lost.")]
