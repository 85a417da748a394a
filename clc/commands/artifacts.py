"""`list`, `show`, `verify` and `alias`, the same for every kind of artifact."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clc.commands.options import StoreOption
from clc.store import Kind, Problem, Store, Version, verify

RefArgument = Annotated[str, typer.Argument(metavar="VERSION", help="Alias, id or unique prefix of an id.")]


def artifact_app(kind: Kind) -> typer.Typer:
    """The command group of one kind."""
    app = typer.Typer(help=f"Versions of kind '{kind}'.", no_args_is_help=True)

    @app.command("list")
    def list_versions(store: StoreOption = None) -> None:
        """List the published versions, oldest first, with their aliases."""
        opened = Store(store)
        aliases: dict[str, list[str]] = {}
        for name, revision in opened.aliases.list(kind).items():
            aliases.setdefault(revision.id, []).append(name)
        table = Table("id", "built", "rows", "aliases", box=None)
        for version in opened.versions(kind):
            rows = ", ".join(f"{version.rows(n)} {n}" for n, f in version.manifest.files.items() if f.type == "table")
            built = version.manifest.built.created_at[:16]
            table.add_row(version.short_id, built, rows, ", ".join(sorted(aliases.get(version.id, []))))
        Console(soft_wrap=True).print(table)

    @app.command()
    def show(ref: RefArgument, store: StoreOption = None) -> None:
        """Print the manifest of a version as JSON."""
        typer.echo(Store(store).get(kind, ref).manifest.model_dump_json(indent=2))

    @app.command("verify")
    def verify_version(ref: RefArgument, store: StoreOption = None) -> None:
        """Check every hash, schema and row count of a version. Exits with 1 if something is wrong."""
        version = Store(store).get(kind, ref)
        problems = _problems(version)
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
        aliases = Store(store).aliases
        if name is None:
            for each, revision in aliases.list(kind).items():
                typer.echo(f"{each} {revision.id[:16]}")
        elif ref is not None:
            typer.echo(f"{name} {aliases.set(kind, name, Store(store).get(kind, ref)).id[:16]}")
        elif rollback:
            typer.echo(f"{name} {aliases.rollback(kind, name).id[:16]}")
        elif history:
            typer.echo(json.dumps([r.model_dump(mode="json") for r in aliases.history(kind, name)], indent=2))
        else:
            typer.echo(f"{name} {aliases.resolve(kind, name).short_id}")

    return app


def _problems(version: Version) -> list[Problem]:
    if version.kind is Kind.DICTIONARY:
        from clc.dictionary.verify import verify_dictionary

        return verify_dictionary(version)
    return verify(version)
