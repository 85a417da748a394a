"""Which version of kind `references` belongs to a dictionary under a model."""

from clc.store import Kind, Recipe, Store, Version

_STAGE_VERSION = 1


def references_recipe(dictionary: Version, model: Version, quality: float) -> Recipe:
    """The work that makes them at a quality. The photos are those that the dictionary's entries name."""
    return Recipe(
        stage="references",
        stage_version=_STAGE_VERSION,
        config={"quality": quality},
        inputs={"dictionary": dictionary.ref, "model": model.ref},
    )


def find_references(store: Store, dictionary: Version, model: Version, quality: float | None = None) -> Version | None:
    """The references of that quality; None if there are none. Without a quality, those that were made last."""
    if quality is not None:
        return store.find(references_recipe(dictionary, model, quality))
    made_of = {"dictionary": dictionary.id, "model": model.id}
    fitting = [each for each in store.versions(Kind.REFERENCES) if made_of.items() <= each.attributes.items()]
    return fitting[-1] if fitting else None
