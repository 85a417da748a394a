"""The Prefect server that runs report to."""

import httpx
from prefect.settings import PREFECT_API_URL

from clc.errors import ServerError

_SECONDS = 10.0


def require_server(*, own: bool = True) -> None:
    """Make sure that the server that the environment or Prefect's profile names (PREFECT_API_URL) answers.

    own: if none is named, Prefect's private server for the time of a run will do.
    Raises ServerError, with what to do.
    """
    url = PREFECT_API_URL.value()
    if url is None:
        if own:
            return
        raise ServerError(
            "this needs a Prefect server: start one with `prefect server start`, "
            "then set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(
            f"the Prefect server at {url} does not answer ({error}); start it, or unset PREFECT_API_URL "
            "to run without one"
        ) from error
