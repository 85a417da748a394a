"""What is in production, since when and why, and what was refused last: read off the store's aliases."""

from dataclasses import dataclass

from clc.production.promotion import PRODUCTION, REFUSED
from clc.store import AliasRevision, Kind, Store

_BY_HAND = "moved by hand"


@dataclass(frozen=True)
class Standing:
    """A model under an alias: since when (UTC) and why. dictionary: its id, None for a model without one or gone."""

    model: str
    dictionary: str | None
    since: str
    why: str

    def __str__(self) -> str:
        dictionary = "no dictionary" if self.dictionary is None else f"dictionary/{self.dictionary}"
        return f"model/{self.model} with {dictionary}, since {self.since} UTC: {self.why}"


@dataclass(frozen=True)
class Status:
    """None where there is none."""

    production: Standing | None
    refused: Standing | None


def status(store: Store) -> Status:
    """Of a store. Raises CorruptArtifactError for a damaged alias."""
    aliases = store.aliases.list(Kind.MODEL)
    return Status(_standing(aliases.get(PRODUCTION), store), _standing(aliases.get(REFUSED), store))


def _standing(revision: AliasRevision | None, store: Store) -> Standing | None:
    if revision is None:
        return None
    found = {version.id: version for version in store.versions(Kind.MODEL)}.get(revision.id)
    dictionary = None if found is None else found.attributes.get("dictionary")
    why = revision.note or (_BY_HAND if revision.restores is None else f"rolled back to revision {revision.restores}")
    return Standing(
        model=revision.id[:16],
        dictionary=None if dictionary is None else str(dictionary)[:16],
        since=revision.created_at[:16].replace("T", " "),
        why=why,
    )
