"""The file or page that a command writes and a user names: checked before the work for it begins."""

import os
from collections.abc import Collection
from pathlib import Path

from clc.errors import OutputError
from clc.runtime.files import check_output, make_folder
from clc.store import Store


def check_file(path: Path, *, store: Store, overwrite: bool, sources: Collection[Path] = ()) -> None:
    """Refuse a file whose content would be lost, or that cannot be written.

    sources: the files, beside those of the store, that the output is made from.
    Raises OutputError for a file of the store, and for what `check_output` refuses.
    """
    if store.storage.is_local and os.path.isfile(path) and path.resolve().is_relative_to(Path(store.url).resolve()):
        raise OutputError(f"{path} is in the store {store.url}, whose files are never replaced; name another file")
    check_output(path, overwrite=overwrite, sources=sources)


def check_page(path: Path, *, store: Store, overwrite: bool, sources: Collection[Path] = ()) -> None:
    """`check_file`, and make the folder that the page is in. Raises OutputError if that fails, too."""
    make_folder(path.parent)
    check_file(path, store=store, overwrite=overwrite, sources=sources)
