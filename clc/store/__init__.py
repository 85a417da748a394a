"""Versioned, content-addressed artifacts: what every stage reads and writes (format: docs/artifacts.md)."""

from clc.store.alias import Aliases, AliasRevision
from clc.store.canonical import canonical_json, canonical_sha256
from clc.store.copy import copy_version
from clc.store.draft import Draft
from clc.store.gc import Debris, GcReport, Kept, Removed, collect
from clc.store.identity import DERIVED, ColumnHasher, short_id, tensor_sha256
from clc.store.kind import Kind
from clc.store.lineage import Lineage, ancestry, lineage
from clc.store.manifest import Manifest
from clc.store.pin import Pins
from clc.store.recipe import Recipe
from clc.store.scratch import part_store, remove_parts, remove_tree
from clc.store.stage import StageResult, run_stage
from clc.store.store import Store
from clc.store.table import TableWriter
from clc.store.transfer import export_version, import_version, read_root
from clc.store.verify import Problem, verify, verify_files, verify_store
from clc.store.version import Version

__all__ = [
    "DERIVED",
    "AliasRevision",
    "Aliases",
    "ColumnHasher",
    "Debris",
    "Draft",
    "GcReport",
    "Kept",
    "Kind",
    "Lineage",
    "Manifest",
    "Pins",
    "Problem",
    "Recipe",
    "Removed",
    "StageResult",
    "Store",
    "TableWriter",
    "Version",
    "ancestry",
    "canonical_json",
    "canonical_sha256",
    "collect",
    "copy_version",
    "export_version",
    "import_version",
    "lineage",
    "part_store",
    "read_root",
    "remove_parts",
    "remove_tree",
    "run_stage",
    "short_id",
    "tensor_sha256",
    "verify",
    "verify_files",
    "verify_store",
]
