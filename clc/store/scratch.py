"""Scratch stores: where the parts of a version lie while it is being made by several processes.

`scratch/<recipe hash>/<part>/` is a store of its own. So a part is published as a version is: whole and verified, or
not at all; and whoever looks for it by its recipe finds it.
"""

from clc.store.layout import SCRATCH, scratch_path
from clc.store.recipe import Recipe
from clc.store.storage import Storage
from clc.store.store import Store


def part_store(store: Store, recipe: Recipe, part: str) -> Store:
    """The scratch store of one part of what a recipe makes."""
    return Store(f"{store.url.rstrip('/')}/{scratch_path(recipe.hash)}/{part}")


def remove_parts(store: Store, recipe: Recipe) -> None:
    """Delete all parts of what a recipe makes. Raises StoreError if the store cannot be written."""
    remove_tree(store.storage, scratch_path(recipe.hash))
    store.storage.delete(SCRATCH)  # stays where other recipes have parts


def remove_tree(storage: Storage, path: str) -> None:
    """Delete a directory with everything in it; one that is not there is gone already. "": the whole storage."""
    for each in tree(storage, path):
        storage.delete(each)


def tree(storage: Storage, path: str) -> list[str]:
    """The files and directories below a directory, and it itself, each after what is in it; none if it is not there."""
    if not storage.is_directory(path):
        return []
    paths: list[str] = []
    for name in storage.names(path):
        child = f"{path}/{name}" if path else name
        paths += tree(storage, child) or [child]
    return [*paths, path]
