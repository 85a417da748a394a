"""A Prefect server of a run's own, in another process, where none is named.

Prefect starts one itself, but only when a flow begins, and imports its whole server into the flow's process for that.
Ours starts while that process still imports what the stages need.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_HOME

from clc.errors import ServerError
from clc.runtime.child import STOP_WITH_PARENT

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

START_SECONDS = 180.0
"""A new database takes a quiet machine ten seconds, and a busy one minutes."""

_STOP_SECONDS = 5.0
_LAST_LINES = 3
_RETRY_SECONDS = b"0.1"
_ENVIRONMENT = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # the flows use none, and it takes as long as starting
}


@dataclass(frozen=True)
class PrivateServer:
    """One that was started; whether it is ready is another matter."""

    url: str
    process: subprocess.Popen[bytes]
    stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """End it, with the process that it was started for."""
        self.stopping.set()
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """How it ended, if it did, and what it said last: for the end of a message."""
        code = self.process.poll()
        ending = "" if code is None else f"ended with {code}" if code >= 0 else f"killed by {Signals(-code).name}"
        lines = filter(None, map(str.strip, private_log().read_text(errors="replace").splitlines()))
        return "; ".join(filter(None, [ending, " | ".join(deque(lines, _LAST_LINES)), f"all it said: {private_log()}"]))


def start_private_server() -> PrivateServer:
    """Start a server with its database in PREFECT_HOME that ends with this process, and let Prefect here know its URL.

    Does not wait for it: requests before it is ready are answered late.
    Raises ServerError if PREFECT_HOME cannot be written.
    """
    try:
        private_log().parent.mkdir(parents=True, exist_ok=True)
        log = private_log().open("wb")
    except OSError as error:
        raise ServerError(
            f"{private_log()} cannot be written ({error.strerror or error}); "
            "work in another folder, or set PREFECT_HOME"
        ) from error
    with log, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        # uvicorn takes a socket it is given for one of Unix, and leaves the delays of TCP in every answer.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        command = [sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:create_app", "--log-level", "error"]
        process = subprocess.Popen(
            [*command, "--fd", str(listening.fileno())],
            env={**os.environ, **_ENVIRONMENT},
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
            preexec_fn=STOP_WITH_PARENT,
            process_group=0,  # Ctrl-C is for the run, which then tells this server how it ended
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
    server = PrivateServer(url, process)
    atexit.register(server.stop)  # the last logs and events are sent before, when Python joins Prefect's threads
    os.environ |= {"PREFECT_API_URL": url, "PREFECT_UI_URL": ""}  # no links to pages that are not served
    refresh_global_settings_context()
    return server


def private_log() -> Path:
    """What the server has to say that is no answer; of the last run."""
    return PREFECT_HOME.value() / "server.log"


def create_app() -> "FastAPI":
    """What the server's process serves."""
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    app.add_middleware(RetriedSoon)
    return app


class RetriedSoon:
    """Says when to try again what SQLite refused because something else was being written.

    That takes milliseconds; Prefect's clients wait for two seconds and more unless they are told.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_hint(message: "Message") -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                message["headers"] = [*message["headers"], (b"retry-after", _RETRY_SECONDS)]
            await send(message)

        await self._app(scope, receive, send_with_hint)
