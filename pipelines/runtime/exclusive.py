"""One run at a time for one profile on one machine, and what became of those before.

The lock is a file that the kernel lets go of when its holder dies, however it dies. So whoever holds it knows that
every run that is still called RUNNING under the same lock is not.
"""

import fcntl
import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.states import Crashed

from clc.errors import OutputError

logger = logging.getLogger("clc.pipeline")

_UNFINISHED = {"type": {"any_": [StateType.RUNNING.value]}}
_held: dict[Path, int] = {}


@contextmanager
def exclusive_run(name: str, runs: Path) -> Iterator[int]:
    """Wait until no other process works for `name` with this folder of runs; gives the lock's file descriptor.

    Within a flow run, mark those that died at work as crashed. May be entered again by the same process.
    Raises OutputError if the folder cannot be written.
    """
    path = (runs / f"{name}.lock").absolute()
    if path in _held:
        _end_dead_runs(path)
        yield _held[path]
        return
    try:
        runs.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); work in another folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("run=%s waiting for another run of %s to end", name, path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _held[path] = descriptor
        _end_dead_runs(path)
        yield descriptor
    finally:
        _held.pop(path, None)
        os.close(descriptor)


def _end_dead_runs(path: Path) -> None:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.parent_task_run_id is not None:
        return
    # A short tag: two machines may have the same path.
    tag = f"lock:{hashlib.sha256(f'{socket.gethostname()}:{path}'.encode()).hexdigest()[:16]}"
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(context.flow_run.id)
        client.update_flow_run(own.id, tags={*own.tags, tag})
        dead = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"tags": {"all_": [tag]}, "state": _UNFINISHED})
        )
        for run in dead:
            if run.id != own.id:
                _mark_crashed(client, run)


def _mark_crashed(client: SyncPrefectClient, run: FlowRun) -> None:
    """With the runs of its tasks and of the flows that it called."""
    state: State[None] = Crashed(message="its process died; the next run took over what it had published")
    for task in client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}})):
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, state, force=True)
    called = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run.id]}, "state": _UNFINISHED})
    for child in client.read_flow_runs(flow_run_filter=called):
        _mark_crashed(client, child)
    # Not by force: a run that let go of the lock and ends in this moment stays as it ends.
    if client.set_flow_run_state(run.id, state).status is SetStateStatus.ACCEPT:
        logger.warning("run=%s crashed flow_run=%s: its process died", run.name, run.id)
