"""`lineage`: from a version back to the photos, the same for every kind of artifact."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.commands.version_argument import RefArgument
from clc.store import Kind, Lineage, lineage, short_id
from clc.store.shipped import LayeredStore


def add_lineage_command(app: typer.Typer, kind: Kind) -> None:
    """Add the command to the group of one kind."""

    @app.command("lineage")
    def lineage_command(
        ref: RefArgument,
        as_json: Annotated[bool, typer.Option("--json", help="Print it as nested JSON with full ids.")] = False,
        store: StoreOption = None,
    ) -> None:
        """Print what a version was made from, down to the photos."""
        tree = lineage(LayeredStore(store).get(kind, ref))
        if as_json:
            typer.echo(json.dumps(asdict(tree), indent=2))
            return
        typer.echo(_label(tree))
        for line in _branches(tree, "", {tree.ref}):
            typer.echo(line)


def _branches(node: Lineage, indent: str, shown: set[str]) -> Iterator[str]:
    """Yield the lines below a node; what was shown with its inputs before is not opened again."""
    for number, (role, source) in enumerate(node.inputs.items(), 1):
        last = number == len(node.inputs)
        again = source.ref in shown and bool(source.inputs)
        yield f"{indent}{'└─ ' if last else '├─ '}{role}: {_label(source)}{' (see above)' if again else ''}"
        if not again:
            shown.add(source.ref)
            yield from _branches(source, indent + ("   " if last else "│  "), shown)


def _label(node: Lineage) -> str:
    kind, _, id = node.ref.partition("/")
    stage = f"  {node.stage}" if node.stage else ""
    return f"{kind}/{short_id(id)}{stage}{'' if node.present else '  (not in this store)'}"
