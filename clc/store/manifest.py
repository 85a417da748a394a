"""The manifest of a version: what it holds, what made it, and the hashes that vouch for both."""

import json
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, Field, JsonValue, ValidationError

from clc.errors import CorruptArtifactError, StoreError
from clc.store.canonical import canonical_json, canonical_sha256
from clc.store.identity import content_id, is_derived, type_name
from clc.store.kind import Kind
from clc.store.layout import DATA_FILE
from clc.store.recipe import Recipe

FORMAT_VERSION = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=f"^{DATA_FILE.pattern}$")]


class Column(BaseModel, frozen=True, extra="forbid"):
    """One column of a table; a derived one has no logical hash."""

    name: str
    type: str
    derived: bool = False
    sha256: Sha256 | None = None


class Tensor(BaseModel, frozen=True, extra="forbid"):
    """One tensor of a tensors file."""

    dtype: str
    shape: tuple[int, ...]
    sha256: Sha256


class TableEntry(BaseModel, frozen=True, extra="forbid"):
    """A Parquet file of a version: location, integrity of its bytes, and its logical content."""

    type: Literal["table"] = "table"
    path: FileName
    bytes: int = Field(ge=0)
    sha256: Sha256
    rows: int = Field(ge=0)
    columns: tuple[Column, ...]

    def content(self) -> dict[str, Any]:
        """Return what goes into the id."""
        return self.model_dump(mode="json", include={"type", "rows", "columns"})


class TensorsEntry(BaseModel, frozen=True, extra="forbid"):
    """A safetensors file of a version: location, integrity of its bytes, and its logical content."""

    type: Literal["tensors"] = "tensors"
    path: FileName
    bytes: int = Field(ge=0)
    sha256: Sha256
    tensors: dict[str, Tensor]

    def content(self) -> dict[str, Any]:
        """Return what goes into the id."""
        return self.model_dump(mode="json", include={"type", "tensors"})


FileEntry = Annotated[TableEntry | TensorsEntry, Field(discriminator="type")]


class Reference(BaseModel, frozen=True, extra="forbid"):
    """A version by kind and full id: an input of another one, or what a recipe pointer names."""

    kind: Kind
    id: Sha256


class Built(BaseModel, frozen=True, extra="forbid"):
    """When, where and with what: differs between identical builds, hence outside the id."""

    created_at: str
    host: str
    libraries: dict[str, str]


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """Everything known about a version; `id` covers format version, kind, attributes and file contents.

    >>> recipe = Recipe(stage="crop", stage_version=1, inputs={"photos": "photos/5f1c"})
    >>> built = Built(created_at="2026-01-01T00:00:00+00:00", host="example", libraries={})
    >>> manifest = Manifest.assemble(Kind.PATCHES, {"size": 256}, {}, recipe, {}, built)
    >>> Manifest.parse(manifest.to_json(), "manifest.json") == manifest
    True
    """

    format_version: int
    kind: Kind
    id: Sha256
    attributes: dict[str, JsonValue]
    files: dict[str, FileEntry]
    recipe: Recipe
    recipe_hash: Sha256
    lineage: tuple[Reference, ...]
    statistics: dict[str, JsonValue]
    built: Built
    checksum: Sha256

    @classmethod
    def assemble(
        cls,
        kind: Kind,
        attributes: dict[str, Any],
        files: dict[str, TableEntry | TensorsEntry],
        recipe: Recipe,
        statistics: dict[str, Any],
        built: Built,
    ) -> Self:
        """Return the manifest of these parts, with every hash computed.

        Raises StoreError if attributes, statistics or the recipe's configuration are not JSON.
        """
        fields = {
            "format_version": FORMAT_VERSION,
            "kind": kind,
            "id": content_id(
                format_version=FORMAT_VERSION,
                kind=kind,
                attributes=attributes,
                files={name: entry.content() for name, entry in files.items()},
            ),
            "attributes": attributes,
            "files": {name: entry.model_dump(mode="json") for name, entry in files.items()},
            "recipe": recipe.model_dump(mode="json"),
            "recipe_hash": recipe.hash,
            "lineage": [{"kind": source, "id": id} for source, id in recipe.input_versions()],
            "statistics": statistics,
            "built": built.model_dump(mode="json"),
        }
        # What is validated is what will be read back: tuples are lists by then, enumerations are their values.
        document = json.loads(canonical_json(fields))
        try:
            return cls.model_validate({**document, "checksum": canonical_sha256(document)})
        except ValidationError as error:
            raise StoreError(f"not a valid manifest: {_first_error(error)}") from error

    @classmethod
    def parse(cls, data: bytes, path: str) -> Self:
        """Read a manifest and check it against its own hashes; `path` is what messages call it.

        Raises CorruptArtifactError if it is not what `to_json` wrote, StoreError if its format version is newer.
        """
        try:
            document = json.loads(data)
            version = document["format_version"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _corrupt(path, f"is not a manifest ({error})") from error
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise StoreError(f"{path} has format version {version}, this clc reads up to {FORMAT_VERSION}: upgrade clc")
        try:
            manifest = cls.model_validate(document)
            fault = manifest._fault()
        except ValidationError as error:
            raise _corrupt(path, f"is not a manifest ({_first_error(error)})") from error
        except StoreError as error:  # NaN or a lone surrogate, which Python's JSON reader lets through
            raise _corrupt(path, f"is not a manifest ({error})") from error
        if fault:
            raise _corrupt(path, f"was changed after publishing: {fault}")
        return manifest

    def to_json(self) -> bytes:
        """Return the manifest as it is stored: indented, keys sorted, UTF-8."""
        document = self.model_dump(mode="json")
        return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    def _fault(self) -> str | None:
        """Say which of the manifest's own hashes does not match the rest of it."""
        id = content_id(
            format_version=self.format_version,
            kind=self.kind,
            attributes=self.attributes,
            files={name: entry.content() for name, entry in self.files.items()},
        )
        if id != self.id:
            return f"its content has id {id}, but it says {self.id}"
        if self.recipe.hash != self.recipe_hash:
            return "the recipe does not match its hash"
        if [(input.kind, input.id) for input in self.lineage] != self.recipe.input_versions():
            return "the lineage does not match the recipe's inputs"
        if canonical_sha256(self.model_dump(mode="json", exclude={"checksum"})) != self.checksum:
            return "the checksum does not match"
        return None


def describe_columns(schema: pa.Schema, hashes: dict[str, str]) -> tuple[Column, ...]:
    """Return the columns of a schema with their logical hashes.

    Raises StoreError for duplicate names and types that artifacts do not hold.
    """
    if len(set(schema.names)) != len(schema.names):
        raise StoreError(f"a table needs distinct column names, not {schema.names}")
    return tuple(
        Column(
            name=field.name,
            type=type_name(field.type, field.name),
            derived=is_derived(field),
            sha256=hashes.get(field.name),
        )
        for field in schema
    )


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _corrupt(path: str, what: str) -> CorruptArtifactError:
    return CorruptArtifactError(
        f"{path} {what}; restore it from a copy, or delete its directory and rebuild the version"
    )
