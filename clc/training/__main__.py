"""`torchrun --nproc-per-node N -m clc.training …`: one training run on several GPUs or processes.

It does what the last stage of `clc train` does, with versions that are in the store already, and imports none of the
search libraries: a training machine needs torch, compressai, numpy, pyarrow, pillow, pydantic and safetensors.
"""

import argparse
import logging
import os
from pathlib import Path

import torch

from clc.api import find_model
from clc.images import open_source
from clc.images.sources.combined import CombinedPhotos
from clc.runtime.child import STOP_WITH_PARENT
from clc.runtime.exit import one_line_errors, run_program
from clc.runtime.profile_file import overridden, read_profile, validated
from clc.store import Kind
from clc.store.shipped import LayeredStore
from clc.training.config import TrainingConfig
from clc.training.distributed import Processes, process_group
from clc.training.train import ModelChoice, TrainingJob, take_part, train


def main() -> None:
    """Entry point; errors are one line, as with `clc`."""
    arguments = _arguments()
    if STOP_WITH_PARENT is not None and "LOCAL_RANK" in os.environ:
        STOP_WITH_PARENT()  # torchrun starts its processes in sessions of their own, where they would outlive it
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    device = arguments.device
    if device == "cuda":
        device = f"cuda:{local_rank}"
    with one_line_errors(), process_group(torch.device(device)) as processes:
        if processes.first:
            logging.getLogger("clc").setLevel(logging.INFO)
        _run(arguments, device, processes)


def _run(arguments: argparse.Namespace, device: str, processes: Processes) -> None:
    profile = read_profile(arguments.profile)
    config = validated(TrainingConfig, profile.get("training", {}), f"profile {arguments.profile}, [training]")
    if config.devices is None:
        config = config.model_copy(update={"devices": processes.count})
    config = config.with_budget(steps=arguments.steps)
    choice = validated(ModelChoice, profile.get("model", {}), f"profile {arguments.profile}, [model]")
    if arguments.conditioning is not None:
        choice = overridden(choice, {"conditioning": arguments.conditioning}, "--conditioning")
    store = LayeredStore(arguments.store)
    job = TrainingJob(
        photos=CombinedPhotos([open_source(spec) for spec in arguments.data]),
        choice=choice,
        config=config,
        assignments=store.get(Kind.ASSIGNMENTS, arguments.assignments) if arguments.assignments else None,
        dictionary=store.get(Kind.DICTIONARY, arguments.dictionary) if arguments.dictionary else None,
        start=find_model(store, arguments.start) if arguments.start else None,
        matched=find_model(store, arguments.matched) if arguments.matched else None,
    )
    if not processes.first:
        take_part(job, store=store, runs=arguments.runs, device=device, processes=processes, loaders=arguments.loaders)
        return
    result = train(
        job,
        store=store,
        runs=arguments.runs,
        device=device,
        processes=processes,
        tensorboard=arguments.tensorboard,
        loaders=arguments.loaders,
    )
    store.aliases.set(Kind.MODEL, "latest", result.version)
    print(f"{result.version}; alias latest points at it{' (published before)' if result.skipped else ''}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="clc.training", description="Train a model on one or several devices.")
    parser.add_argument("--profile", required=True, help="network and recipe: a profile's name, or a TOML file")
    parser.add_argument("--data", required=True, action="append", help="photos to train on; may be repeated")
    parser.add_argument("--assignments", help="version that `clc assignments list` shows, for these photos")
    parser.add_argument("--dictionary", help="dictionary version that the assignments were retrieved from")
    parser.add_argument("--from", dest="start", help="model version to start from: default, an alias or an id")
    parser.add_argument(
        "--matched-from", dest="matched", help="model version whose networks for references alone to start from"
    )
    parser.add_argument("--conditioning", help="none, paper, prior or both, instead of the profile's")
    parser.add_argument("--steps", type=int, help="budget in steps, instead of the profile's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument(
        "--loaders", type=int, default=0, help="processes that draw crops for each one that trains; for GPUs"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for checkpoints, logs and sheets")
    parser.add_argument("--tensorboard", action="store_true", help="also write the log as TensorBoard reads it")
    parser.add_argument("--store", help="artifact store; default: $CLC_STORE, else ./artifacts")
    return parser.parse_args()


if __name__ == "__main__":
    run_program(main)
