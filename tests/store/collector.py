"""A program that collects garbage and is killed while it does: before its 1st, 2nd, ... operation on the store.

collector.py STORE SCRATCH      every attempt starts from a copy of STORE in SCRATCH
"""

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path

from clc.store import Kind, Store, collect, verify_store


def dying(original: str, scratch: str) -> None:
    for last_event in itertools.count(1):
        copy = Path(scratch, str(last_event))
        shutil.copytree(original, copy)
        child = os.fork()
        if child == 0:
            _die_at(last_event, str(copy))
            collect(Store(copy), keep_last=1, keep_days=0, dry_run=False)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        store = Store(copy)
        problems = len(verify_store(store))
        visible = sum(len(store.versions(kind)) for kind in Kind)
        # The next collector, a day and a bit later, finishes the work.
        collect(store, keep_last=1, keep_days=0, dry_run=False, grace_hours=0)
        left = sum(path.is_file() for path in copy.rglob("*"))
        print(last_event, visible, problems + len(verify_store(store)), left, flush=True)
        if status == 0:
            return
        shutil.rmtree(copy)


def _die_at(last_event: int, root: str) -> None:
    """Kill this process just before its n-th change below a directory."""
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in ("os.rename", "os.remove", "os.rmdir") and any(root in str(argument) for argument in arguments):
            count += 1
            if count == last_event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if __name__ == "__main__":
    dying(*sys.argv[1:])
