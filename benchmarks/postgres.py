"""A PostgreSQL for tests and measurements: a temporary data folder, a free port of localhost, no password."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_DEBIAN = Path("/usr/lib/postgresql")  # where Debian keeps the server's programs, off the PATH
_SYSTEM_USER = "postgres"


def postgres_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return next(iter(sorted(_DEBIAN.glob("*/bin"), reverse=True)), None)


def free_port() -> int:
    """A port of localhost that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """A server for the time of the block; its URL for Prefect."""
    # Not below pytest's folder: every start of pytest closes that to other users, and root must run it as another one.
    with TemporaryDirectory(prefix="clc-postgres-", ignore_cleanup_errors=True) as folder:
        port, user = free_port(), _unprivileged(Path(folder))
        data = f"{folder}/data"
        subprocess.run(
            [*user, str(programs / "initdb"), "-D", data, "-U", "clc", "--auth", "trust", "--no-sync"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        control = [*user, str(programs / "pg_ctl"), "-D", data]
        start = [*control, "-o", options, "-l", f"{folder}/log", "-w", "start"]
        subprocess.run(start, check=True, capture_output=True, cwd=folder)
        try:
            yield f"postgresql+asyncpg://clc@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)


def _unprivileged(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: what to put before its commands, the folder given to that user."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, _SYSTEM_USER)
    return ["runuser", "-u", _SYSTEM_USER, "--"]
