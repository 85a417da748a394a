"""The argument that names a version."""

from typing import Annotated

import typer

RefArgument = Annotated[str, typer.Argument(metavar="VERSION", help="Alias, id or unique prefix of an id.")]
