"""Defaults for running Prefect without a server of one's own.

Without PREFECT_API_URL, a private server is started for the time of the run, with its database under
PREFECT_HOME. Nothing is phoned home. Whatever the environment already sets is left alone. But this machine itself is
never asked for through a proxy.
"""

import os
from pathlib import Path

_DEFAULTS = {
    "PREFECT_HOME": str(Path(".prefect").absolute()),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # DO_NOT_TRACK alone leaves the server's heartbeat on
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # a busy machine takes longer than the default of 20
    "PREFECT_LOGGING_EXTRA_LOGGERS": "clc",  # the stages' own lines belong to the run's log
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_LOGGING_COLORS": "false",
}

for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_unproxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
if _unproxied != "*":
    _names = [*filter(None, _unproxied.split(",")), *_LOOPBACK]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(_names))
