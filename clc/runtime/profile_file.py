"""Reading profiles: TOML files, named by a path or by what an installed package offers (entry point `clc.profiles`).

Apart from `clc.production.profile`, so that a training machine reads its part without the libraries of the rest.
"""

import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clc.errors import ProfileError

Model = TypeVar("Model", bound=BaseModel)


def read_profile(reference: str) -> dict[str, Any]:
    """The content of the profile at a path (ends in .toml), or of a name. Raises ProfileError if it cannot be read."""
    if reference.endswith(".toml"):
        path: Traversable = Path(reference)
    else:
        path = _named(reference)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"profile {reference} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"profile {reference} is not valid TOML: {error}") from error
    return content


def validated(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """`model` from values. Raises ProfileError with every wrong key or value in one line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or where}: {e['msg']}" for e in error.errors()]
        raise ProfileError(f"{where}: {'; '.join(problems)}") from error


def overridden(config: Model, changes: dict[str, object], where: str) -> Model:
    """`config` with the changes that are not None. Raises ProfileError for a value that it cannot have."""
    return validated(type(config), config.model_dump() | {k: v for k, v in changes.items() if v is not None}, where)


def _named(name: str) -> Traversable:
    offered = {
        file.name.removesuffix(".toml"): file
        for entry in entry_points(group="clc.profiles")
        for file in files(entry.value).iterdir()
        if file.name.endswith(".toml")
    }
    if name not in offered:
        raise ProfileError(
            f"no profile is called {name!r}; use a path that ends in .toml or one of: {', '.join(offered)}"
        )
    return offered[name]
