"""What is tried again, and what is not."""

import errno
from urllib.error import URLError

import pytest
from prefect.states import Failed

from clc.errors import AliasConflictError, ProfileError, SourceError, StoreError
from pipelines.runtime.retry import may_pass


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (caused_by(StoreError("cannot read"), OSError(errno.EIO, "Input/output error")), True),
        (caused_by(SourceError("cannot read"), TimeoutError()), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (AliasConflictError("moved"), True),
        (caused_by(SourceError("cannot list"), FileNotFoundError(errno.ENOENT, "gone")), False),
        (caused_by(StoreError("cannot write"), OSError(errno.ENOSPC, "No space left on device")), False),
        (caused_by(StoreError("cannot write"), OSError(errno.EROFS, "Read-only file system")), False),
        (caused_by(SourceError("cannot download"), URLError(OSError(errno.ECONNREFUSED, "refused"))), True),
        (caused_by(SourceError("cannot download"), URLError("unknown url type")), False),
        (ProfileError("unknown key"), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_failures_of_disks_and_networks_that_may_pass_are_tried_again(error: Exception, passes: bool) -> None:
    assert may_pass(None, None, Failed(data=error)) is passes
