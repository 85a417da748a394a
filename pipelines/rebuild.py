"""The main job: photos → dictionary → codec → measured report → production, if it passes the gate.

`python -m pipelines.rebuild --profile demo` and `clc pipeline run --profile demo` do the same.
"""

import argparse
import logging
import sys
from typing import cast

from prefect import flow

from clc.errors import CorruptArtifactError, DictionaryError, MissingArtifactError
from clc.production.drift import Drift
from clc.production.gate import Refusal
from clc.production.profile import load_profile
from clc.production.promotion import PRODUCTION, dictionary_in_use
from clc.runtime.exit import one_line_errors, print_error, run_program
from clc.stages.workers import DaskWorkers
from clc.store import Kind, Store
from pipelines.flows import build_dictionary, evaluate, promote, train
from pipelines.runtime.names import run_name
from pipelines.runtime.server import require_server, server_needed
from pipelines.runtime.work import Work, begin, ended
from pipelines.show import show_drift, show_stages
from pipelines.stages import compare_with, render_report

logger = logging.getLogger("clc.pipeline")


@flow(name="rebuild", flow_run_name=run_name)
def rebuild(
    profile: str,
    store: str | None = None,
    workers: int | None = None,
    dask_address: str | None = None,
    start: str = PRODUCTION,
) -> dict[str, str]:
    """Build a dictionary, train a codec against exactly that version, measure both, and let the gate decide.

    workers, dask_address: see `build_dictionary`; start: see `train`. Its result is what came out, by name; nothing
    where the photos are as the dictionary in use expects.
    """
    with begin(profile, store) as work:
        drift = _drift(work)
        # What never came into production is finished, whatever the photos.
        in_production = PRODUCTION in Store(work.store).aliases.list(Kind.MODEL)
        if in_production and drift is not None and not drift.asks_for_rebuild(work.profile.drift):
            return ended("NothingToDo", f"nothing to do: {drift} threshold={work.profile.drift.threshold:g}", {})
        built = build_dictionary(profile, work.store, workers, dask_address)
        trained = train(profile, built[-1].version, work.store, start)
        assigned, model, coded = trained
        measured = evaluate(profile, model.version, work.store)
        report = render_report(work.store, measured[-1].version)
        promotion = promote(profile, measured[-1].version, work.store)
        outcomes = [*built, *trained, *measured]
        show_stages(work, outcomes)
    made = {
        "dictionary": built[-1].shown,
        "assignments": assigned.shown,
        "model": model.shown,
        "references": coded.shown,
        "results": measured[-1].shown,
        "report": report,
    }
    if promotion.moved:
        return ended("Promoted", str(promotion), made)
    if promotion.refused:
        return ended("NotPromoted", str(promotion), made, failed=work.profile.gate.refusal is Refusal.FAILED)
    if all(outcome.skipped for outcome in outcomes):
        return ended("NothingToDo", f"nothing to do: every stage was done before; {promotion}", made)
    return ended("Completed", str(promotion), made)


def run(
    profile: str, store: str | None, workers: int | None, dask_address: str | None, start: str = PRODUCTION
) -> None:
    """Run the flow and print what came out, one line a version, and what is in production now.

    Ends the program with 1 where the profile wants a refusal to be a failure.
    """
    dask = DaskWorkers.asked_for(workers, dask_address)
    load_profile(profile)  # a run of a wrong one would only fail, and stay in the server's history
    if dask is not None:
        dask.require()
    require_server()
    with server_needed():
        state = rebuild(profile, store, workers, dask_address, start, return_state=True)
        refused = state.is_failed() and state.name == "NotPromoted"
        outcome = cast(dict[str, str], state.result(raise_on_failure=not refused))
    production = Store(store).aliases.list(Kind.MODEL).get(PRODUCTION)
    if production is not None:
        outcome["production"] = f"{Kind.MODEL}/{production.id[:16]}"
    width = max(map(len, outcome), default=0)
    for name, value in outcome.items():
        print(f"{name:<{width}}  {value}")
    if refused:
        print_error(state.message or "not promoted")
        sys.exit(1)


def main() -> None:
    """Entry point of `python -m pipelines.rebuild`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", required=True, help="name of a profile, or path of a TOML file")
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    parser.add_argument("--workers", type=int, help="crop and extract features in this many Dask processes here")
    parser.add_argument("--dask-address", help="do so on the workers of this Dask scheduler, tcp://HOST:PORT")
    parser.add_argument(
        "--from", dest="start", default=PRODUCTION, help="model to train from: production, none, or one"
    )
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments.profile, arguments.store, arguments.workers, arguments.dask_address, arguments.start)


def _drift(work: Work) -> Drift | None:
    """How far the photos are from the dictionary in use; None if there is none that could say so."""
    try:
        current = dictionary_in_use(Store(work.store))
        if current is None:
            return None
        drift = compare_with(work.profile, work.store, current.ref)
    except (MissingArtifactError, CorruptArtifactError, DictionaryError) as error:
        logger.warning("stage=drift not measured: %s", error)
        return None
    show_drift(work, current, drift)
    logger.info("stage=drift dictionary=%s %s", current, drift)
    return drift


if __name__ == "__main__":
    run_program(main)
