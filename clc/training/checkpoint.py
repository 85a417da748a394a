"""Checkpoints: everything that a run needs to go on, in one safetensors file, replaced atomically. No pickle."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from clc.errors import TrainingError
from clc.training.pieces import index_of, read_pieces, remove_pieces, write_pieces

Row = dict[str, float]


@dataclass(frozen=True)
class Modules:
    """What a checkpoint restores in place.

    average: the moving average of the weights; analysis: the g_a that the reference latents were made with.
    muon: the optimiser beside Adam, where there is one.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: nn.Module | None
    analysis: nn.Module | None
    muon: torch.optim.Optimizer | None = None

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """By the name that a checkpoint gives them."""
        named = {"optimiser": self.optimiser, "muon": self.muon}
        return {name: each for name, each in named.items() if each is not None}

    def named(self) -> dict[str, nn.Module]:
        """The networks, by the name that a checkpoint gives them."""
        named = {"model": self.model, "average": self.average, "analysis": self.analysis}
        return {name: module for name, module in named.items() if module is not None}


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps done, seconds trained, rows logged so far, and steps since the last row.

    returns: how often it has diverged and gone back.
    """

    step: int = 0
    seconds: float = 0.0
    log: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    unlogged: list[Row] = field(default_factory=list)
    returns: int = 0


def save_checkpoint(path: Path, run: str, modules: Modules, progress: Progress, piece_bytes: int | None = None) -> None:
    """Write beside `path`, then rename: a killed run, or a full disk, leaves the previous checkpoint whole.

    run: identifies configuration and inputs; only the same run may resume.
    piece_bytes: write pieces of at most so many bytes instead (`clc.training.pieces`).
    Raises TrainingError if it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.named().items():
        tensors |= {f"{name}/{key}": tensor.contiguous() for key, tensor in module.state_dict().items()}
    for kind, optimiser in modules.optimisers().items():
        for parameter, state in optimiser.state_dict()["state"].items():
            tensors |= {f"{kind}/{parameter}/{key}": tensor.contiguous() for key, tensor in state.items()}
    metadata = {"run": run, "progress": json.dumps(asdict(progress))}
    temporary = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if piece_bytes is not None:
            write_pieces(path, save(tensors, metadata), piece_bytes)
            path.unlink(missing_ok=True)
            return
        with temporary.open("wb") as file:
            file.write(save(tensors, metadata))
            os.fsync(file.fileno())
        temporary.replace(path)
        remove_pieces(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        advice = "free some space" if error.errno == errno.ENOSPC else "make the folder writable"
        kept = "; the one before it is whole" if has_checkpoint(path) else ""
        raise TrainingError(
            f"the checkpoint of step {progress.step} cannot be written to {path.parent} "
            f"({error.strerror or error}){kept}; {advice} and run the same command again"
        ) from error


def load_checkpoint(path: Path, run: str, modules: Modules) -> Progress:
    """Restore modules in place; returns how far the run was.

    Raises TrainingError for a file that is damaged or belongs to another run.
    """
    try:
        with _whole(path) as whole, safe_open(whole, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"checkpoint {path} cannot be read ({error}); delete it to start again") from error
    if metadata.get("run") != run:
        raise TrainingError(f"checkpoint {path} belongs to another configuration; delete it to start again")
    for name, module in modules.named().items():
        module.load_state_dict(_section(tensors, name))
    for kind, optimiser in modules.optimisers().items():
        parameters = [each for group in optimiser.param_groups for each in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _section(tensors, kind).items():
            number, _, name = key.partition("/")
            state.setdefault(int(number), {})[name] = _laid_out_as(parameters[int(number)], tensor)
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    return Progress(**json.loads(metadata["progress"]))


def has_checkpoint(path: Path) -> bool:
    """Whether there is one, whole or in pieces."""
    return path.exists() or index_of(path).exists()


def remove_checkpoint(path: Path) -> None:
    """Remove it, if there is one."""
    path.unlink(missing_ok=True)
    remove_pieces(path)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """The checkpoint as one file, put together where it is in pieces."""
    if not index_of(path).exists():
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=path.suffix) as file:
        file.write(read_pieces(path))
        file.flush()
        yield Path(file.name)


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """A fused optimiser walks through the memory of a parameter and its moments side by side, whatever their strides.

    A moment in another layout than its parameter, which may be channels-last, would meet other weights than its own.
    """
    return tensor if tensor.shape != parameter.shape else torch.empty_like(parameter).copy_(tensor)


def _section(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}
