"""An S3 server of this machine, a process of its own: moto's.

As a program: `s3_server.py PORT SECONDS` answers every list of objects so much later, as a large store does.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

needs_s3 = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("moto", "s3fs")),
    reason="needs an S3 server and client: pip install 'moto[server]' s3fs",
)


@contextmanager
def s3_server(list_seconds: float = 0.0) -> Iterator[dict[str, str]]:
    """Run it; what is in this environment talks to it. list_seconds: by which lists come later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, __file__, str(port), str(list_seconds)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        for _ in range(300):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "the server did not start"
            time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.kill()
        server.wait()


def new_bucket(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store in a bucket of its own, which this process and its children reach from now on."""
    import s3fs

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"clc-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/artifacts"


Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def _listing_after(seconds: float, application: Application) -> Application:
    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        if "list-type" in environment["QUERY_STRING"]:
            time.sleep(seconds)
        return application(environment, start)

    return answer


def _serve(port: int, list_seconds: float) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    application = _listing_after(list_seconds, DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), float(sys.argv[2]))
