"""The Prefect server that runs report to: the one that the environment or Prefect's profile names, or a private one."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import prefect
from prefect.settings import PREFECT_API_URL

from clc.errors import ClcError, ServerError
from pipelines.runtime.private_server import START_SECONDS, PrivateServer, start_private_server
from pipelines.runtime.server_watch import ServerWatch

_SECONDS = 10.0
_private: PrivateServer | None = None
_watch: ServerWatch | None = None


def start_server() -> None:
    """Start a private server for the time of this process if none is named (PREFECT_API_URL).

    It takes seconds until it answers, in which the caller can import what a run needs.
    """
    global _private
    if PREFECT_API_URL.value() is None:
        _private = start_private_server()


def require_server(*, own: bool = True) -> None:
    """Make sure that the server answers. A private one is watched from then on (`ServerWatch`).

    own: if none is named, a private one will do.
    Raises ServerError, with what to do.
    """
    global _watch
    if own:
        start_server()
    url = PREFECT_API_URL.value()
    if url is None:
        raise ServerError(
            "this needs a Prefect server: start one with `prefect server start`, "
            "then set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    private = _private if _private is not None and url == _private.url else None
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=START_SECONDS if private else _SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        if private is not None:
            raise ServerError(f"Prefect's private server did not start: {private.last_words()}") from error
        raise ServerError(
            f"the Prefect server at {url} does not answer ({error}); start it, or unset PREFECT_API_URL "
            "to run without one"
        ) from error
    if private is None:
        _check_version(url)
    elif _watch is None:
        _watch = ServerWatch(private)


def _check_version(url: str) -> None:
    """Raises ServerError for a server of another major version, whose API is another, and for one that is none.

    Prefect itself warns of an older minor version.
    """
    try:
        found = str(httpx.get(f"{url.rstrip('/')}/admin/version", timeout=_SECONDS).raise_for_status().json())
    except (httpx.HTTPError, ValueError) as error:
        raise ServerError(f"{url} does not answer as a Prefect server does ({error}); see PREFECT_API_URL") from error
    if found.partition(".")[0] != prefect.__version__.partition(".")[0]:
        raise ServerError(
            f"the Prefect server at {url} has version {found}, this environment {prefect.__version__}; install "
            "one major version in both, or unset PREFECT_API_URL to run with a private server"
        )


@contextmanager
def server_needed() -> Iterator[None]:
    """For a run whose server may go. Raises ServerError if it does, or what went wrong before, if anything did."""
    try:
        yield
    except httpx.HTTPError as error:
        lost = None if _watch is None else _watch.lost()
        raise _why_it_ended(error, lost) from error
    except BaseException as error:
        lost = None if _watch is None else _watch.lost()
        if lost is not None:
            raise lost from error
        raise


def _why_it_ended(error: httpx.HTTPError, lost: ServerError | None) -> ClcError:
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, ClcError):
            return before
        before = before.__context__
    gone = ServerError(f"the Prefect server stopped answering ({error}); run again: finished stages are skipped")
    return lost or gone
