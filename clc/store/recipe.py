"""A recipe says what work makes a version; equal hashes mean equal work, so the stage can be skipped."""

import re

from pydantic import BaseModel, Field, JsonValue, field_validator

from clc.store.canonical import canonical_sha256
from clc.store.kind import Kind

_REFERENCE = re.compile(r"(?P<kind>[a-z][a-z0-9_-]*)/(?P<id>[^\s/]+)")
_FULL_ID = re.compile(r"[0-9a-f]{64}")


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """Stage, its version, its configuration and the versions that it reads.

    `inputs` maps a role to "kind/full-id" (`Version.ref`), or to another "word/fingerprint" for what lies outside
    the store, such as "photos/<fingerprint>".

    Raises pydantic.ValidationError if a field is malformed, StoreError from `hash` if the configuration holds NaN.

    >>> recipe = Recipe(stage="crop", stage_version=1, config={"size": 256}, inputs={"photos": "photos/5f1c"})
    >>> recipe.hash == Recipe.model_validate_json(recipe.model_dump_json()).hash
    True
    >>> recipe.hash[:16]
    'b967a395af1cf040'
    """

    stage: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    stage_version: int = Field(ge=1)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)

    @field_validator("inputs")
    @classmethod
    def _well_formed(cls, inputs: dict[str, str]) -> dict[str, str]:
        for role, reference in inputs.items():
            match = _REFERENCE.fullmatch(reference)
            if match is None:
                raise ValueError(f'input {role!r} is {reference!r}, expected "kind/id"')
            if match["kind"] in set(Kind) and not _FULL_ID.fullmatch(match["id"]):
                raise ValueError(f"input {role!r} is {reference!r}, expected the full id of 64 hex digits")
        return inputs

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the four fields, in hexadecimal."""
        return canonical_sha256(self.model_dump())

    def input_versions(self) -> list[tuple[Kind, str]]:
        """Return kind and id of every input that is a version of the store, each once, sorted."""
        pairs = {tuple(reference.split("/")) for reference in self.inputs.values()}
        return sorted((Kind(kind), id) for kind, id in pairs if kind in set(Kind))
