"""`pin`: hold a version for ever, the same for every kind of artifact."""

from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.errors import StoreError
from clc.store import Kind, Store


def add_pin_command(app: typer.Typer, kind: Kind) -> None:
    """Add the command to the group of one kind."""

    @app.command("pin")
    def pin_command(
        ref: Annotated[
            str | None, typer.Argument(metavar="VERSION", help="Version to pin; without one, all are listed.")
        ] = None,
        remove: Annotated[bool, typer.Option("--remove", help="Take the pin away again.")] = False,
        store: StoreOption = None,
    ) -> None:
        """Pin a version: `clc gc` never removes it, nor what it was made from."""
        pins = Store(store).pins
        if remove and ref is None:
            raise StoreError(f"name the VERSION whose pin to remove; `clc {kind} pin` lists them")
        if ref is None:
            for id in pins.list(kind):
                typer.echo(id)
        elif remove:
            typer.echo(f"{kind}/{pins.remove(kind, ref)} is not pinned any more")
        else:
            typer.echo(f"{pins.add(kind, ref)} is pinned")
