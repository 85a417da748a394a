"""CLC: learned compression of photo collections with a versioned dictionary of reference patches.

`clc.load("default")` gives a codec for photos, `clc.open("album.clca")` the photos of an archive. Pillow opens and
saves `.clc` files once this package is imported.
"""

from typing import TYPE_CHECKING

from clc.runtime import thread_limits  # noqa: F401  (PyTorch reads them when it is first imported)
from clc.runtime.when_imported import when_imported

__version__ = "0.1.0"
__all__ = ["__version__", "load", "open"]


def _register_with_pillow() -> None:
    from clc.pillow_plugin import register

    register()


when_imported("PIL.Image", _register_with_pillow)

if TYPE_CHECKING:
    from clc.api import load
    from clc.archive.album import open_album as open
else:

    def __getattr__(name: str) -> object:
        """`load` and `open`, when they are first asked for: `import clc` does not wait for PyTorch."""
        if name == "load":
            from clc.api import load

            return load
        if name == "open":
            from clc.archive.album import open_album

            return open_album
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
