"""The models that come with CLC: a small store that is part of the installation and only ever read.

It holds model versions, the references, or stored latents, of the dictionaries they were trained with, and those
dictionaries without their patches.
"""

from pathlib import Path

import clc
from clc.errors import MissingArtifactError
from clc.store import Kind, Recipe, Store, Version, copy_version

_PACKAGE = Path(clc.__file__).parent
_FOLDERS = (_PACKAGE / "shipped_models", _PACKAGE.parent / "artifacts" / "shipped")  # installed; in a checkout
_PICTURES = frozenset({"image"})


def shipped_store() -> Store | None:
    """The store of shipped models; None in an installation without any."""
    return next((Store(folder) for folder in _FOLDERS if folder.is_dir()), None)


class LayeredStore(Store):
    """A store that falls back to the shipped models for what it does not have itself.

    >>> store = LayeredStore("memory://layered-example")
    >>> store.get(Kind.MODEL, "default").kind
    <Kind.MODEL: 'model'>
    """

    def get(self, kind: Kind, ref: str) -> Version:
        """As `Store.get`; ids and aliases of this store come first."""
        try:
            return super().get(kind, ref)
        except MissingArtifactError:
            shipped = shipped_store()
            if shipped is None:
                raise
            try:
                return shipped.get(kind, ref)
            except MissingArtifactError:
                pass
            raise

    def versions(self, kind: Kind) -> list[Version]:
        """As `Store.versions`; then those shipped ones that this store does not have."""
        own = super().versions(kind)
        shipped = shipped_store()
        ids = {version.id for version in own}
        return own + [version for version in (shipped.versions(kind) if shipped else []) if version.id not in ids]

    def find(self, recipe: Recipe) -> Version | None:
        """As `Store.find`."""
        found = super().find(recipe)
        if found is None and (shipped := shipped_store()) is not None:
            return shipped.find(recipe)
        return found


def ship(model: Version, name: str, source: Store, target: Store) -> None:
    """Copy a model, its dictionary without patches and the references of both into a store to be shipped.

    References are photos, which everybody can then decode; stored latents of earlier releases are not.
    name: the alias that it can be loaded by. Raises MissingArtifactError if there are none.
    """
    from clc.codec.artifacts import find_values  # needs PyTorch, which looking versions up does not

    shipped = copy_version(model, target)
    if "dictionary" in model.attributes:
        dictionary = source.get(Kind.DICTIONARY, model.attributes["dictionary"])
        copy_version(dictionary, target, emptied=_PICTURES)
        copy_version(find_values(source, dictionary, model), target)
    target.aliases.set(Kind.MODEL, name, shipped)
