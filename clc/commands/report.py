"""`clc report`."""

from pathlib import Path
from typing import Annotated

import typer

from clc.commands.options import OverwriteOption, StoreOption
from clc.commands.outputs import check_page
from clc.commands.standard import announce
from clc.errors import ProfileError
from clc.store import Kind, Store


def report(
    results: Annotated[str, typer.Argument(help="Results version: alias, id or unique prefix.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="Where to write. Default: reports/RESULTS.html.")] = None,
    published: Annotated[
        str | None, typer.Option(help="Draw published curves too: kodak, if the results are of all of Kodak.")
    ] = None,
    force: OverwriteOption = False,
    store: StoreOption = None,
) -> None:
    """Render a results version as one self-contained HTML page.

    At its default name, it replaces the page before; elsewhere, --force does.
    """
    opened = Store(store)
    version = opened.get(Kind.RESULTS, results)
    path = out or Path("reports") / f"{version.short_id}.html"
    overwrite = force or out is None
    check_page(path, store=opened, overwrite=overwrite)

    from clc.theory.theorem1 import is_simulation

    if is_simulation(version):
        from clc.evaluation.report.theorem_page import write_theorem

        if published is not None:
            raise ProfileError(f"{version} is a simulation, of which nothing is published; leave --published out")
        write_theorem(version, path, overwrite=overwrite)
    else:
        from clc.evaluation.report.page import write_report

        write_report(version, path, published, overwrite=overwrite)
    announce(str(path), f"report of {version}")
