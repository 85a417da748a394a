"""New photos into archives, on a schedule: the flow `pack`."""

import sys

from prefect import flow

from clc.production.profile import load_profile
from clc.runtime.exit import print_error
from pipelines.runtime.names import run_name
from pipelines.runtime.server import require_server, server_needed
from pipelines.runtime.work import announce_packing, begin, ended
from pipelines.show import show_packing
from pipelines.stages import pack_photos


@flow(name="pack", flow_run_name=run_name)
def pack(profile: str, store: str | None = None) -> dict[str, object]:
    """New photos of the profile's source → the archive of the dictionary in use, which a new dictionary starts anew.

    Its result is what was done: url, packed, failed, bytes.
    """
    with begin(profile, store, turn="pack") as work:
        packing = pack_photos(work.profile, work.store)
        done: dict[str, object] = {
            "url": packing.url,
            "packed": packing.summary.packed,
            "failed": len(packing.summary.failed),
            "bytes": packing.size,
        }
        if not (packing.started or packing.summary.packed or packing.summary.failed):
            return ended("NothingToDo", f"nothing to do: {packing}", done)
        announce_packing(work, packing)
        show_packing(work, packing)
    return ended("Packed", str(packing), done)


def run(profile: str, store: str | None) -> None:
    """Run the flow and print what it did. Ends the program with 1 if a photo could not be packed."""
    load_profile(profile).required_archive()  # a run of one that packs nothing would only fail
    require_server()
    with server_needed():
        done = pack(profile, store)
    for name, value in done.items():
        print(f"{name:<6}  {value}")
    if done["failed"]:
        print_error(f"{done['failed']} photos could not be packed; the log names them")
        sys.exit(1)
