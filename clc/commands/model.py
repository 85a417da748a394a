"""`clc model presets`, beside what every kind offers."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from clc.commands.artifacts import artifact_app
from clc.commands.columns import print_columns
from clc.store import Kind

app = artifact_app(Kind.MODEL)


@app.command()
def presets(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, with costs in MAC per pixel.")] = False,
) -> None:
    """List the networks that can be trained, with what they cost without / with references.

    One kMAC is a thousand multiply-accumulate operations.
    """
    from clc.codec.complexity import complexity
    from clc.codec.presets import PRESETS

    rows = [("preset", "parameters", "encoder kMAC/pixel", "decoder kMAC/pixel", "slices", "references")]
    described = {}
    for name, config in PRESETS.items():
        cost = complexity(config)
        slices, references = config.prior.slices, config.references
        described[name] = asdict(cost) | {"slices": slices, "references": references}
        encoder = f"{cost.encoder / 1e3:.1f} / {cost.encoder_with_references / 1e3:.1f}"
        decoder = f"{cost.decoder / 1e3:.1f} / {cost.decoder_with_references / 1e3:.1f}"
        rows.append((name, f"{cost.parameters / 1e6:.1f} M", encoder, decoder, str(slices), str(references)))
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    else:
        print_columns(rows)
