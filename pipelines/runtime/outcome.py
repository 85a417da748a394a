"""What a stage leaves behind in a run: small, and JSON all through."""

from pydantic import BaseModel

from clc.store import StageResult, Version
from clc.store.manifest import TableEntry


class Outcome(BaseModel, frozen=True):
    """One stage of a run. version: "kind/full-id"; rows: of the tables that count for the id."""

    stage: str
    version: str
    skipped: bool
    seconds: float
    rows: dict[str, int]

    @classmethod
    def of(cls, stage: str, result: StageResult) -> "Outcome":
        """Of a stage that the library ran."""
        return cls(
            stage=stage,
            version=result.version.ref,
            skipped=result.skipped,
            seconds=result.seconds,
            rows=_rows(result.version),
        )

    @property
    def shown(self) -> str:
        """The version as people read it."""
        kind, _, id = self.version.partition("/")
        return f"{kind}/{id[:16]}"


def _rows(version: Version) -> dict[str, int]:
    return {
        name: entry.rows
        for name, entry in sorted(version.manifest.files.items())
        if isinstance(entry, TableEntry) and not all(column.derived for column in entry.columns)
    }
