"""Aligned columns on the terminal."""

from collections.abc import Sequence

import typer


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length, the first one the heading, each column as wide as its widest cell."""
    # Not rich's tables: they cut ids to the width of the terminal, and scripts read this.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
