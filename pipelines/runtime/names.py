"""What runs are called on Prefect's pages."""

from pathlib import Path

from prefect.runtime import flow_run


def run_name() -> str:
    """Of the flow run that begins: its profile, and when it was due by this machine's clocks."""
    profile = str(flow_run.parameters.get("profile", "?"))
    name = Path(profile).stem if profile.endswith(".toml") else profile
    return f"{name}, {flow_run.scheduled_start_time.astimezone():%Y-%m-%d %H:%M}"
