"""A real headless Chromium with one page, driven over its DevTools protocol: just enough to look, click and drag."""

import base64
import io
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

_TIMEOUT = 60.0


class Browser:
    """The page; events: what Chromium reported meanwhile, by method."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=_TIMEOUT))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, path: Path, width: int = 1100, height: int = 900) -> None:
        """Load a file and wait until all of it is there."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Page.navigate", url=path.as_uri())
        while self.evaluate("document.readyState + location.protocol") != "completefile:":
            pass
        # A lazy picture that is hidden never comes.
        self.evaluate(
            "Promise.all([...document.images].filter(i => i.loading !== 'lazy').map(image => image.decode()))"
        )

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where the first such element lies, scrolled to the middle of the window: left, top, width, height."""
        return tuple(
            self.evaluate(
                f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
                "return [b.left, b.top, b.width, b.height] })()"
            )
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """With the left mouse button, from point to point of the window."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        for kind, (x, y), buttons in (
            ("mouseMoved", start, 0), ("mousePressed", start, 1), ("mouseMoved", middle, 1), ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):  # fmt: skip
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left",
                buttons=buttons, clickCount=int(kind != "mouseMoved"),
            )  # fmt: skip

    def click(self, selector: str) -> None:
        """In the middle of the first such element."""
        left, top, width, height = self.box(selector)
        self.drag((left + width / 2, top + height / 2), (left + width / 2, top + height / 2))

    def screenshot(self, area: tuple[float, float, float, float] | None = None) -> NDArray[np.uint8]:
        """The window, or an area of it, as uint8 [H, W, 3]."""
        clip = {}
        if area:
            scroll_x, scroll_y = self.evaluate("[scrollX, scrollY]")
            left, top, width, height = area
            clip = {"clip": {"x": left + scroll_x, "y": top + scroll_y, "width": width, "height": height, "scale": 1}}
        data = self.send("Page.captureScreenshot", format="png", **clip)["data"]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            return np.asarray(image.convert("RGB"))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile folder, and end it."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # Chromium's sandbox refuses root
    log = profile / "stderr"
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        port = _port(process, log)
        pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False).json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        with connect(address, max_size=None, proxy=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        process.wait(_TIMEOUT)


def _port(process: subprocess.Popen[bytes], log: Path) -> str:
    while True:
        if found := re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", log.read_bytes()):
            return found[1].decode()
        assert process.poll() is None, log.read_text(errors="replace")
