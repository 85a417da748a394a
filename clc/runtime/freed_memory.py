"""Memory that was freed, back to the system."""

import ctypes
from functools import cache


def give_back_freed_memory() -> None:
    """Let the C library return what it keeps for later; nothing, where it cannot.

    The many arrays of a large photo's bands leave gaps on its heap, hundreds of megabytes, which the next, larger
    array does not fit into.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim  # of glibc only
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return None
