"""One version without its lineage in another store: what a product ships."""

import pyarrow as pa

from clc.errors import StoreError
from clc.store.manifest import TableEntry
from clc.store.store import Store
from clc.store.version import Version


def copy_version(version: Version, store: Store, *, emptied: frozenset[str] = frozenset()) -> Version:
    """Publish a version's content in another store, under the same id.

    emptied: columns that are left empty there. They must be derived ones: what is no part of the id can be left out.
    The versions that it was made from stay behind, so `lineage` finds them missing there.
    Raises StoreError for a column that is part of the id.
    """
    with store.draft(version.kind, version.manifest.recipe) as draft:
        for name, entry in version.manifest.files.items():
            if not isinstance(entry, TableEntry):
                draft.tensors(name, version.tensors(name))
                continue
            named = emptied & {column.name for column in entry.columns}
            needed = sorted(column.name for column in entry.columns if column.name in named and not column.derived)
            if needed:
                raise StoreError(f"{version}: column {needed[0]!r} of {name} is part of the id and cannot be left out")
            schema = version.schema(name)
            with draft.table(name, schema) as table:
                for batch in version.batches(name):
                    columns = [
                        pa.nulls(len(batch), field.type) if field.name in named else batch.column(field.name)
                        for field in schema
                    ]
                    table.write(pa.table(columns, schema=schema))
        draft.attributes |= version.attributes
        draft.statistics |= version.statistics
        return draft.publish()
