"""Settings of the whole process, changed for a while by several threads."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType


class ProcessSetting:
    """Inside, a setting of the process is another; it is back as it was when the last thread that was inside is out.

    A context manager of one thread would take what another thread has set for what was there before, and leave it.

    >>> import contextlib, io
    >>> file = io.StringIO()
    >>> into_file = ProcessSetting(lambda: contextlib.redirect_stdout(file))
    >>> with into_file, into_file:
    ...     print("inside")
    >>> file.getvalue()
    'inside\\n'
    """

    def __init__(self, changed: Callable[[], AbstractContextManager[object]]) -> None:
        """changed: begins a change of the setting, and undoes it on exit."""
        self._changed = changed
        self._change: AbstractContextManager[object]
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._change = self._changed()
                self._change.__enter__()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._change.__exit__(None, None, None)
