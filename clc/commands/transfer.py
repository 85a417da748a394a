"""`export` and `import`, the same for every kind of artifact."""

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from clc.commands.options import OverwriteOption, StoreOption
from clc.commands.outputs import check_file
from clc.commands.standard import announce
from clc.commands.version_argument import RefArgument
from clc.errors import StoreError
from clc.runtime.files import open_atomically
from clc.store import Kind, Store, Version, export_version, import_version, read_root, short_id
from clc.store.lean_export import export_references
from clc.store.shipped import LayeredStore

FileArgument = Annotated[Path, typer.Argument(help="Output file; written only if all went well.")]


def add_transfer_commands(app: typer.Typer, kind: Kind) -> None:
    """Add the commands to the group of one kind."""

    if kind is Kind.REFERENCES:
        _add_references_export(app)
    else:
        _add_export(app, kind)

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


def _add_export(app: typer.Typer, kind: Kind) -> None:
    @app.command("export")
    def export_command(
        ref: RefArgument,
        file: FileArgument,
        force: OverwriteOption = False,
        store: StoreOption = None,
    ) -> None:
        """Write a version, with everything it was made from, to one file."""
        opened = Store(store)
        _export(opened.get(kind, ref), opened, file, export_version, overwrite=force)


def _add_references_export(app: typer.Typer) -> None:
    @app.command("export")
    def export_command(
        ref: RefArgument,
        file: FileArgument,
        build_inputs: Annotated[
            bool, typer.Option("--with-build-inputs", help="Also everything that they were made from.")
        ] = False,
        force: OverwriteOption = False,
        store: StoreOption = None,
    ) -> None:
        """Write references to one file, with their model and their dictionary without its patches: all that coding
        with them takes.
        """
        opened = LayeredStore(store)
        version = opened.get(Kind.REFERENCES, ref)

        def lean(references: Version, output: BinaryIO) -> Sized:
            return export_references(references, opened, output)

        _export(version, opened, file, export_version if build_inputs else lean, overwrite=force)


def _export(
    version: Version, store: Store, file: Path, write: Callable[[Version, BinaryIO], Sized], *, overwrite: bool
) -> None:
    check_file(file, store=store, overwrite=overwrite)
    with open_atomically(file, overwrite=overwrite) as output:
        versions = write(version, output)
        size = output.tell()
    announce(str(file), f"{version} and {len(versions) - 1} versions it was made from, {size} bytes")
