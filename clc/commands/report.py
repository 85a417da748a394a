"""`clc report`."""

from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import StoreOption
from clc.store import Kind, Store


def report(
    results: Annotated[str, typer.Argument(help="Results version: alias, id or unique prefix.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="Where to write. Default: reports/RESULTS.html.")] = None,
    published: Annotated[
        str | None, typer.Option(help="Draw published curves too: kodak, if the results are of all of Kodak.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Render a results version as one self-contained HTML page."""
    from clc.evaluation.report import write_report

    version = Store(store).get(Kind.RESULTS, results)
    path = out or Path("reports") / f"{version.short_id}.html"
    write_report(version, path, published)
    typer.echo(f"{path}: report of {version}")
