"""The Prefect server that runs report to: the one that the environment or Prefect's profile names, or a private one."""

import httpx
from prefect.settings import PREFECT_API_URL

from clc.errors import ClcError, ServerError
from pipelines.runtime.private_server import START_SECONDS, private_log, start_private_server

_SECONDS = 10.0
_private: str | None = None


def start_server() -> None:
    """Start a private server for the time of this process if none is named (PREFECT_API_URL).

    It takes seconds until it answers, in which the caller can import what a run needs.
    """
    global _private
    if PREFECT_API_URL.value() is None:
        _private = start_private_server()


def require_server(*, own: bool = True) -> None:
    """Make sure that the server answers.

    own: if none is named, a private one will do.
    Raises ServerError, with what to do.
    """
    if own:
        start_server()
    url = PREFECT_API_URL.value()
    if url is None:
        raise ServerError(
            "this needs a Prefect server: start one with `prefect server start`, "
            "then set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    private = url == _private
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=START_SECONDS if private else _SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        if private:
            raise ServerError(f"Prefect's private server did not start ({error}); {private_log()} says why") from error
        raise ServerError(
            f"the Prefect server at {url} does not answer ({error}); start it, or unset PREFECT_API_URL "
            "to run without one"
        ) from error


def why_it_ended(error: httpx.HTTPError) -> ClcError:
    """Of a run that could not tell its server: what went wrong before, if anything did."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, ClcError):
            return before
        before = before.__context__
    return ServerError(f"the Prefect server stopped answering ({error}); run again: finished stages are skipped")
