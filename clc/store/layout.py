"""Where things lie in a store, as paths relative to its root (docs/artifacts.md draws the tree)."""

import re

from clc.store.identity import short_id
from clc.store.kind import Kind

VERSION_DIRECTORY = re.compile(r"[0-9a-f]{16}")
MANIFEST_NAME = "manifest.json"
# No slash can occur: a manifest never points outside its own directory.
DATA_FILE = re.compile(r"[a-z0-9][a-z0-9_-]*-[0-9a-f]{16}\.(parquet|safetensors)")
ALIAS_REVISION = re.compile(r"(\d{8})\.json")
PIN = re.compile(r"([0-9a-f]{16})\.json")
RECIPE_POINTER = re.compile(r"([0-9a-f]{64})\.json")


SCRATCH = "scratch"
RECIPE_HASH = re.compile(r"[0-9a-f]{64}")


def version_directory(kind: Kind, id: str) -> str:
    """Return the directory of a version, given its full or short id."""
    return f"{kind}/{short_id(id)}"


def manifest_path(kind: Kind, id: str) -> str:
    """Return the path of a version's manifest."""
    return f"{version_directory(kind, id)}/{MANIFEST_NAME}"


def recipe_path(recipe_hash: str) -> str:
    """Return the path of the pointer from a recipe to the version it made."""
    return f"recipes/{recipe_hash}.json"


def scratch_path(recipe_hash: str) -> str:
    """Return the directory of the parts of what a recipe is making."""
    return f"{SCRATCH}/{recipe_hash}"


def aliases_directory(kind: Kind) -> str:
    """Return the directory of a kind's aliases; never a version directory, for it is no 16 hex digits."""
    return f"{kind}/aliases"


def pins_directory(kind: Kind) -> str:
    """Return the directory of a kind's pins."""
    return f"{kind}/pins"


def pin_path(kind: Kind, id: str) -> str:
    """Return the path of the pin of a version."""
    return f"{pins_directory(kind)}/{short_id(id)}.json"


def alias_path(kind: Kind, name: str, revision: int) -> str:
    """Return the path of one revision of an alias."""
    return f"{aliases_directory(kind)}/{name}/{revision:08d}.json"
