"""Options that several commands share."""

from typing import Annotated

import typer

StoreOption = Annotated[
    str | None, typer.Option("--store", help="Artifact store: a path or URL. Default: $CLC_STORE, else ./artifacts.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Build again even if the result is published, and compare.")]
BackboneOption = Annotated[
    str | None,
    typer.Option("--backbone", help="Feature extractor: imagenet, file:PATH, random:SEED, codec:MODEL, hog."),
]
