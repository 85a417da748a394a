"""Which version of kind `references` belongs to a dictionary under a model."""

from clc.store import Kind, Store, Version


def find_references(store: Store, dictionary: Version, model: Version) -> Version | None:
    """Those that were made last; None if there are none."""
    made_of = {"dictionary": dictionary.id, "model": model.id}
    fitting = [each for each in store.versions(Kind.REFERENCES) if made_of.items() <= each.attributes.items()]
    return fitting[-1] if fitting else None
