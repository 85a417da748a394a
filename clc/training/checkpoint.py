"""Checkpoints: model and optimiser as one safetensors file, replaced atomically. No pickle."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clc.errors import TrainingError


def save_checkpoint(
    path: Path,
    *,
    run: str,
    step: int,
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    log: list[dict[str, float]],
) -> None:
    """Write beside `path`, then rename: a killed run leaves the previous checkpoint whole.

    run: identifies configuration and inputs; only the same run may resume.
    """
    tensors = {f"model/{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    for parameter, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{parameter}/{name}": tensor for name, tensor in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    save_file(tensors, temporary, metadata={"run": run, "step": str(step), "log": json.dumps(log)})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(
    path: Path, *, run: str, model: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]]]:
    """Restore model and optimiser; returns the number of steps done and the log so far.

    Raises TrainingError for a file that is damaged or belongs to another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"checkpoint {path} cannot be read ({error}); delete it to start again") from error
    if metadata.get("run") != run:
        raise TrainingError(f"checkpoint {path} belongs to another configuration; delete it to start again")
    model.load_state_dict({name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        section, _, rest = name.partition("/")
        if section == "optimiser":
            parameter, _, key = rest.partition("/")
            state.setdefault(int(parameter), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(metadata["step"]), json.loads(metadata["log"])
