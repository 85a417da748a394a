"""A run whose private server dies ends soon, instead of asking it again and again for minutes."""

import os
import signal
import threading
import time

from clc.errors import ServerError
from clc.runtime.exit import print_error
from pipelines.runtime.private_server import PrivateServer

_CLEAN_UP_SECONDS = 10.0
"""For the stage that is on to remove what is not whole. Prefect, which reports to nobody then, would take minutes."""

_GONE = signal.SIGUSR1  # not SIGINT, which whoever runs in the background of a shell script does not hear


class ServerWatch:
    """Interrupts the main thread when the server ends before this process, and ends the process if that takes long.

    It is made in the main thread.
    """

    def __init__(self, server: PrivateServer) -> None:
        signal.signal(_GONE, signal.default_int_handler)
        self._server = server
        self._told = threading.Lock()
        threading.Thread(target=self._watch, name="private server's watch", daemon=True).start()

    def lost(self) -> ServerError | None:
        """What has become of the server, for whoever says it first; None if it lives, or if that was said already."""
        if self._server.process.poll() is None or not self._told.acquire(blocking=False):
            return None
        return ServerError(
            f"Prefect's private server is gone ({self._server.last_words()}); run again: finished stages are skipped"
        )

    def _watch(self) -> None:
        self._server.process.wait()
        if self._server.stopping.is_set():
            return
        signal.pthread_kill(threading.main_thread().ident or 0, _GONE)  # which wakes it where it waits
        time.sleep(_CLEAN_UP_SECONDS)
        lost = self.lost()
        if lost is not None:
            print_error(str(lost))
        os._exit(2)
