"""`clc data`: public datasets."""

from typing import Annotated

import typer

from clc.commands.columns import print_columns

app = typer.Typer(help="Public datasets: list and download.", no_args_is_help=True)


@app.command("list")
def list_datasets() -> None:
    """List the datasets that `clc data fetch` knows."""
    from clc.images import dataset_names, datasets_dir, load_manifest
    from clc.images.datasets.fetched import FetchRecord

    rows = [("name", "split", "fetched", "title", "licence")]
    for name in dataset_names():
        manifest = load_manifest(name)
        folder = datasets_dir() / name
        fetched = folder.is_dir() and not FetchRecord.load(folder).missing(manifest, folder)
        rows.append((name, manifest.split or "", "yes" if fetched else "no", manifest.title, manifest.licence))
    print_columns(rows)


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="A name from `clc data list`.")]) -> None:
    """Download a dataset into $CLC_DATASETS (default ./data); an interrupted download is continued."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from clc.images import datasets_dir, load_manifest
    from clc.images.datasets.fetch import fetch_dataset

    manifest = load_manifest(name)
    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(name)
        folder = fetch_dataset(
            manifest, datasets_dir(), lambda done, total: bar.update(task, completed=done, total=total)
        )
    typer.echo(f"{name} is in {folder}; use it as dataset:{name}")
