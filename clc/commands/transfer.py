"""`export` and `import`, the same for every kind of artifact."""

from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.commands.reference import RefArgument
from clc.errors import StoreError
from clc.store import Kind, Store, export_version, import_version, read_root, short_id


def add_transfer_commands(app: typer.Typer, kind: Kind) -> None:
    """Add the commands to the group of one kind."""

    @app.command("export")
    def export_command(
        ref: RefArgument,
        file: Annotated[Path, typer.Argument(help="Output file; written only if all went well.")],
        store: StoreOption = None,
    ) -> None:
        """Write a version, with everything it was made from, to one file."""
        version = Store(store).get(kind, ref)
        versions = export_version(version, file)
        typer.echo(f"{file}: {version} and {len(versions) - 1} versions it was made from, {file.stat().st_size} bytes")

    @app.command("import")
    def import_command(
        file: Annotated[Path, typer.Argument(help="File that `export` wrote.")],
        store: StoreOption = None,
    ) -> None:
        """Verify what `export` wrote, then publish it."""
        root = read_root(file)
        if root.kind is not kind:
            raise StoreError(
                f"{file} holds {root.kind}/{short_id(root.id)}, no {kind}; run: clc {root.kind} import {file}"
            )
        typer.echo(f"{import_version(Store(store), file)}: every hash as recorded")
