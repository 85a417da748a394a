"""The main job: photos → dictionary → codec → measured report.

`python -m pipelines.rebuild --profile demo` and `clc pipeline run --profile demo` do the same.
"""

import argparse
import logging

from prefect import flow

from clc.exit import one_line_errors
from clc.profile import Profile, load_profile
from clc.store import Store
from pipelines.log import quieten_user_errors
from pipelines.stages import (
    assign_references,
    cluster_keys,
    compute_latents,
    crop_references,
    evaluate_codec,
    extract_features,
    index_entries,
    reduce_features,
    render_report,
    train_codec,
)


@flow(name="rebuild", validate_parameters=False)
def rebuild(profile: Profile, store: str) -> dict[str, str]:
    """Build a dictionary, train a codec against exactly that version, measure both, render the report."""
    patches = crop_references(profile, store)
    features = extract_features(profile, store, patches)
    keys = reduce_features(profile, store, features)
    clusters = cluster_keys(profile, store, keys)
    dictionary = index_entries(profile, store, clusters, keys, patches)
    assignments = assign_references(profile, store, dictionary)
    model = train_codec(profile, store, assignments, dictionary)
    latents = compute_latents(store, dictionary, model)
    results = evaluate_codec(profile, store, model, dictionary, patches)
    report = render_report(store, results)
    return {
        "dictionary": dictionary,
        "assignments": assignments,
        "model": model,
        "latents": latents,
        "results": results,
        "report": report,
    }


def run(profile: str, store: str | None) -> None:
    """Run the flow and print what came out, one line a version."""
    quieten_user_errors()
    outcome = rebuild(load_profile(profile), Store(store).url)
    width = max(map(len, outcome))
    for name, reference in outcome.items():
        kind, _, id = reference.partition("/")
        print(f"{name:<{width}}  {reference if name == 'report' else f'{kind}/{id[:16]}'}")


def main() -> None:
    """Entry point of `python -m pipelines.rebuild`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", required=True, help="name of a profile, or path of a TOML file")
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    arguments = parser.parse_args()
    logging.getLogger("clc").setLevel(logging.INFO)
    with one_line_errors():
        run(arguments.profile, arguments.store)


if __name__ == "__main__":
    main()
