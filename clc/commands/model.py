"""`clc model presets` and `ship`, beside what every kind offers."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from clc.commands.artifacts import artifact_app
from clc.commands.columns import print_columns
from clc.commands.options import StoreOption
from clc.commands.version_argument import RefArgument
from clc.store import Kind, Store

app = artifact_app(Kind.MODEL)


@app.command("ship")
def ship_model(
    ref: RefArgument,
    name: Annotated[str, typer.Option(help="What `clc.load` and --model call it.")] = "default",
    to: Annotated[str, typer.Option(help="Store to copy into; `artifacts/shipped` goes into the package.")] = (
        "artifacts/shipped"
    ),
    store: StoreOption = None,
) -> None:
    """Copy a model to a store that comes with a product: with its dictionary, without patches, and its references.

    References are photos, which everybody can then decode.
    """
    from clc.store.shipped import ship

    opened = Store(store)
    model = opened.get(Kind.MODEL, ref)
    ship(model, name, opened, Store(to))
    typer.echo(f"{to}: {model} as {name}")


@app.command()
def presets(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, with costs in MAC per pixel.")] = False,
) -> None:
    """List the networks that can be trained, with what they cost without / with references.

    One kMAC is a thousand multiply-accumulate operations.
    """
    from clc.model.complexity import complexity
    from clc.model.presets import PRESETS

    rows = [("preset", "parameters", "encoder kMAC/pixel", "decoder kMAC/pixel", "slices", "references")]
    described = {}
    for name, config in PRESETS.items():
        cost = complexity(config)
        slices, references = len(config.prior.slices), config.references
        described[name] = asdict(cost) | {"slices": slices, "references": references}
        encoder = f"{cost.encoder / 1e3:.1f} / {cost.encoder_with_references / 1e3:.1f}"
        decoder = f"{cost.decoder / 1e3:.1f} / {cost.decoder_with_references / 1e3:.1f}"
        rows.append((name, f"{cost.parameters / 1e6:.1f} M", encoder, decoder, str(slices), str(references)))
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    else:
        print_columns(rows)
