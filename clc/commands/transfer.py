"""`export` and `import`, the same for every kind of artifact."""

from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import OverwriteOption, StoreOption
from clc.commands.outputs import check_file
from clc.commands.standard import announce
from clc.commands.version_argument import RefArgument
from clc.errors import StoreError
from clc.runtime.files import open_atomically
from clc.store import Kind, Store, export_version, import_version, read_root, short_id


def add_transfer_commands(app: typer.Typer, kind: Kind) -> None:
    """Add the commands to the group of one kind."""

    @app.command("export")
    def export_command(
        ref: RefArgument,
        file: Annotated[Path, typer.Argument(help="Output file; written only if all went well.")],
        force: OverwriteOption = False,
        store: StoreOption = None,
    ) -> None:
        """Write a version, with everything it was made from, to one file."""
        opened = Store(store)
        version = opened.get(kind, ref)
        check_file(file, store=opened, overwrite=force)
        with open_atomically(file, overwrite=force) as output:
            versions = export_version(version, output)
            size = output.tell()
        announce(str(file), f"{version} and {len(versions) - 1} versions it was made from, {size} bytes")

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
