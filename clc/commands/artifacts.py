"""The command group of a kind: `list`, `show`, `verify`, `alias`, and those of the modules beside this one."""

import json
from typing import Annotated

import typer

from clc.commands.columns import print_columns
from clc.commands.lineage import add_lineage_command
from clc.commands.options import StoreOption
from clc.commands.pin import add_pin_command
from clc.commands.transfer import add_transfer_commands
from clc.commands.version_argument import RefArgument
from clc.store import Kind, Problem, Store, Version, verify
from clc.store.shipped import LayeredStore, shipped_store

# The table whose rows are what one has in mind when asking how large a version is.
_MAIN_TABLES = {
    Kind.PATCHES: "patches",
    Kind.FEATURES: "features",
    Kind.REDUCED: "keys",
    Kind.CLUSTERS: "clusters",
    Kind.DICTIONARY: "entries",
    Kind.LATENTS: "latents",
    Kind.REFERENCES: "pictures",
    Kind.ASSIGNMENTS: "assignments",
    Kind.RESULTS: "images",
}


def artifact_app(kind: Kind) -> typer.Typer:
    """The command group of one kind."""
    app = typer.Typer(help=f"Versions of kind '{kind}'.", no_args_is_help=True)

    @app.command("list")
    def list_versions(store: StoreOption = None) -> None:
        """List the published versions, oldest first, with their aliases; the models that come with CLC last."""
        opened = LayeredStore(store) if kind is Kind.MODEL else Store(store)
        aliases: dict[str, list[str]] = {}
        for name, revision in opened.aliases.list(kind).items():
            aliases.setdefault(revision.id, []).append(name)
        shipped = shipped_store() if kind is Kind.MODEL else None
        for name, revision in shipped.aliases.list(kind).items() if shipped else ():
            aliases.setdefault(revision.id, []).append(f"{name} (comes with CLC)")
        rows = [("id", "built", _MAIN_TABLES.get(kind, ""), "aliases")]
        for version in opened.versions(kind):
            built = version.manifest.built.created_at[:16]
            rows.append((version.short_id, built, _size(version), ", ".join(sorted(aliases.get(version.id, [])))))
        print_columns(rows)

    @app.command()
    def show(ref: RefArgument, store: StoreOption = None) -> None:
        """Print the manifest of a version as JSON."""
        typer.echo(LayeredStore(store).get(kind, ref).manifest.model_dump_json(indent=2))

    @app.command("verify")
    def verify_version(ref: RefArgument, store: StoreOption = None) -> None:
        """Check every hash, schema and row count of a version. Exits with 1 if something is wrong."""
        opened = LayeredStore(store) if kind is Kind.REFERENCES else Store(store)  # decoding takes a model
        version = opened.get(kind, ref)
        problems = _problems(version, opened)
        for problem in problems:
            typer.echo(str(problem))
        if problems:
            raise typer.Exit(1)
        typer.echo(f"{version} is whole: {len(version.manifest.files)} files, every hash as recorded")

    @app.command()
    def alias(
        name: Annotated[str | None, typer.Argument(help="Alias; without one, all are listed.")] = None,
        ref: Annotated[str | None, typer.Argument(metavar="VERSION", help="Version to point it at.")] = None,
        history: Annotated[bool, typer.Option("--history", help="Print the alias's history as JSON.")] = False,
        rollback: Annotated[bool, typer.Option("--rollback", help="Point it at where it pointed before.")] = False,
        store: StoreOption = None,
    ) -> None:
        """Show, set or roll back an alias."""
        opened = LayeredStore(store)
        aliases = opened.aliases
        if name is None:
            for each, revision in aliases.list(kind).items():
                typer.echo(f"{each} {revision.id[:16]}")
        elif ref is not None:
            typer.echo(f"{name} {aliases.set(kind, name, ref).id[:16]}")
        elif rollback:
            typer.echo(f"{name} {aliases.rollback(kind, name).id[:16]}")
        elif history:
            typer.echo(json.dumps([r.model_dump(mode="json") for r in aliases.history(kind, name)], indent=2))
        else:
            typer.echo(f"{name} {aliases.resolve(kind, name).short_id}")

    add_lineage_command(app, kind)
    add_pin_command(app, kind)
    add_transfer_commands(app, kind)
    return app


def _size(version: Version) -> str:
    table = _MAIN_TABLES.get(version.kind)
    return str(version.rows(table)) if table in version.manifest.files else ""


def _problems(version: Version, store: Store) -> list[Problem]:
    if version.kind is Kind.REFERENCES:
        from clc.codec.references.picture_check import verify_references

        return verify_references(version, store)
    if version.kind is Kind.DICTIONARY:
        from clc.dictionary.inspect.consistency import verify_dictionary

        return verify_dictionary(version)
    return verify(version)
