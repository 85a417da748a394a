"""`clc gc`: what the store no longer needs."""

from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.store import Store, collect


def gc(
    keep_last: Annotated[int, typer.Option(min=0, help="Keep the newest N versions of every kind.")] = 3,
    keep_days: Annotated[float, typer.Option(min=0, help="Keep what was published in the last N days.")] = 30.0,
    build_inputs: Annotated[
        bool,
        typer.Option(
            "--build-inputs", help="Also remove what dictionaries were built from: patches, features, keys, clusters."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    store: StoreOption = None,
) -> None:
    """Remove versions that no alias, no pin and no kept version holds, and debris that is older than a day.

    Bitstreams elsewhere hold nothing: pin the model and the dictionary that they need (`clc model pin VERSION`).
    """
    opened = Store(store)
    report = collect(opened, keep_last=keep_last, keep_days=keep_days, dry_run=dry_run, build_inputs=build_inputs)
    for kept in report.kept:
        typer.echo(f"keep    {kept.version}  {', '.join(kept.reasons)}")
    for removed in report.removed:
        typer.echo(f"remove  {removed.version}  {removed.bytes} bytes")
    for debris in report.debris:
        typer.echo(f"debris  {debris.path}  {debris.bytes} bytes")
    typer.echo(
        f"{'would remove' if dry_run else 'removed'} {len(report.removed)} versions and {len(report.debris)} files "
        f"that no version needs, {report.bytes} bytes; {len(report.kept)} versions stay"
    )
