"""The training loop: R + λ·D over crops and references (paper eq. 9)."""

import contextlib
import json
import logging
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from clc.errors import TrainingError, TrainingStoppedError
from clc.model.network import CompressionModel
from clc.model.tiles import to_unit_range
from clc.model.transforms.processor import multiplies_bfloat16
from clc.training.checkpoint import Modules, Progress, load_checkpoint, save_checkpoint
from clc.training.config import Part, Precision, TrainingConfig
from clc.training.data.batches import TrainingBatch, TrainingBatches
from clc.training.data.crops import TrainingSet
from clc.training.data.reference_pool import ReferencePool
from clc.training.distributed import Processes
from clc.training.objective import balance, rate_distortion
from clc.training.reporter import Reporter
from clc.training.schedule import Budget, steps_of
from clc.training.tensorboard import Board
from clc.training.validation import Validation

logger = logging.getLogger(__name__)

Tensors = list[Tensor] | tuple[Tensor, ...]

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 60.0
"""A checkpoint is written after so many seconds at the latest, however long `checkpoint_every` steps take."""
_SEED_STRIDE = 1_000_003
_MOST_DEVICES = 4096


@dataclass
class Trainer:
    """A run that can be continued: every random choice of a step follows from the seed and the step's number.

    pool: None for a model that takes no references from a dictionary.
    folder: of the run, where checkpoint, log and sheets are.
    run: identifies configuration and inputs; a checkpoint of another run is refused.
    tensorboard: also write the log as TensorBoard reads it.
    loaders: processes beside this one that draw crops and related views; a GPU waits for them otherwise.
    """

    model: CompressionModel
    data: TrainingSet
    pool: ReferencePool | None
    validation: Validation
    config: TrainingConfig
    folder: Path
    run: str
    processes: Processes = field(default_factory=Processes)
    tensorboard: bool = False
    loaders: int = 0
    _saved_at: float = field(default_factory=time.monotonic, init=False)

    def train(self) -> Progress:
        """Train to the end of the budget, from the checkpoint if there is one; the model then holds the moving average.

        Raises TrainingError if loss or gradient are no longer finite; its message names the file that says with which
        crops. Raises TrainingStoppedError after SIGTERM or SIGINT, once a checkpoint is written.
        """
        config = self.config
        if config.precision is Precision.BFLOAT16 and not multiplies_bfloat16(next(self.model.parameters()).device):
            logger.warning(
                "stage=train precision=bfloat16: this CPU has no instructions for it; float32 is faster here"
            )
        devices = config.devices or self.processes.count
        share = self.processes.share(devices)
        if config.part is Part.MATCHED:
            self.model.requires_grad_(False)
            assert self.model.prior.conditioned is not None
            for parameter in self.model.prior.conditioned.parameters():
                parameter.requires_grad_(True)
        network = self.processes.wrapped(self.model)
        optimiser = torch.optim.Adam(self._parameter_groups(), lr=config.learning_rate, fused=True)
        average = AveragedModel(self.model, multi_avg_fn=self._average) if config.average else None
        if self.pool is not None:
            self.pool.refresh(self.model.g_a)
        progress = Progress()
        if self.checkpoint.exists():
            progress = load_checkpoint(self.checkpoint, self.run, self._modules(optimiser, average))
            logger.info("stage=train resumed step=%d seconds=%.0f", progress.step, progress.seconds)
            if self.pool is not None:
                self.pool.refresh(self.pool.analysis)
        budget = Budget(config, steps_of(config, len(self.data), devices), progress.seconds)
        board = Board(self.folder) if self.tensorboard and self.processes.first else None
        reporter = Reporter(config, budget, progress, devices, board)
        step = progress.step
        self.model.train()
        with _stop_signals() as stopped_by:
            # From here on: a signal to all processes must not end those that draw before this one has stopped.
            upcoming = self.batches.upcoming(step, share, self.loaders)
            while True:
                seconds, stop = self.processes.largest(budget.seconds, float(stopped_by[0]))
                over = budget.spent(step, seconds) >= 1.0
                if self.processes.first and (over or stop or (step > progress.step and self._due_checkpoint(step))):
                    self._save(self._modules(optimiser, average), reporter.progress(step, seconds))
                if stop:
                    raise TrainingStoppedError(step, int(stop))
                if over:
                    break
                if self.pool is not None and step % config.refresh_every == 0:
                    self.pool.refresh(self.model.g_a)
                rate = budget.learning_rate(step, seconds)
                scalars = self._step(network, step, share, upcoming, rate, optimiser)
                if average is not None:
                    average.update_parameters(self.model)
                step += 1
                if reporter.record(step, self.processes.mean(scalars)) and self.processes.first:
                    reporter.report()
                if step % config.validate_every == 0 and self.processes.first:
                    self._validate(average, step, reporter)
        if average is not None:
            self.model.load_state_dict(average.module.state_dict())
        if self.processes.first and step % config.validate_every:
            self._validate(None, step, reporter)
        return reporter.progress(step, budget.seconds)

    @property
    def checkpoint(self) -> Path:
        """Where the run can be continued from."""
        return self.folder / CHECKPOINT

    @property
    def batches(self) -> TrainingBatches:
        """What steps train on: it depends on nothing but the seed and the data."""
        return TrainingBatches(self.data, self.config)

    def references(self, batch: TrainingBatch) -> Tensor | None:
        """Latents [B, M, C, 16, 16] of a batch's references, on the model's device; None without any."""
        if batch.entries is None:
            return None
        assert self.pool is not None
        references = self.pool.select(batch.entries)
        if batch.views is not None and batch.related is not None:
            references[batch.related] = self.pool.analyse(batch.views)
        return references

    def _step(
        self,
        network: torch.nn.Module,
        step: int,
        share: range,
        upcoming: Iterator[TrainingBatch],
        learning_rate: float,
        optimiser: torch.optim.Optimizer,
    ) -> dict[str, float]:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * group["share"]
        optimiser.zero_grad(set_to_none=True)
        losses = []
        synthesise = self.config.part is Part.ALL  # what only informs the prior does not change the picture
        for index in share:
            batch = next(upcoming).to(self.model.device)
            image = to_unit_range(batch.pixels).contiguous(memory_format=torch.channels_last)
            # Quantisation noise and the sampling of eq. 5.
            torch.manual_seed((self.config.seed * _SEED_STRIDE + step) * _MOST_DEVICES + index)
            half = self.config.precision is Precision.BFLOAT16
            with torch.autocast(image.device.type, torch.bfloat16, enabled=half):
                result = network(image, self.references(batch), batch.quality, synthesise=synthesise)
            loss = rate_distortion(result, image, batch.quality, self.config.distortion)
            if not torch.isfinite(loss.total):
                raise self._diverged("loss", step, batch)
            losses.append(loss)
            with contextlib.ExitStack() as stack:
                if index != share[-1] and isinstance(network, torch.nn.parallel.DistributedDataParallel):
                    stack.enter_context(network.no_sync())
                weight = balance(batch.quality, self.config.qualities)
                (loss.total * weight / len(share)).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if not torch.isfinite(norm):
            raise self._diverged("gradient", step, batch)
        optimiser.step()
        return {
            "loss": float(np.mean([loss.total.item() for loss in losses])),
            "bpp": float(np.mean([loss.bpp for loss in losses])),
            "psnr": float(np.mean([loss.psnr for loss in losses])),
            "gradient_norm": norm.item(),
            "learning_rate": learning_rate,
        }

    def _parameter_groups(self) -> list[dict[str, object]]:
        transforms = [*self.model.g_a.parameters(), *self.model.g_s.parameters()]
        known = set(map(id, transforms))
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        return [{"params": transforms, "share": self.config.transform_rate}, {"params": others, "share": 1.0}]

    def _average(self, averaged: Tensors, current: Tensors, number: Tensor | int) -> None:
        """Exponential moving average that forgets its first values fast."""
        decay = min(self.config.average, (1.0 + float(number)) / (10.0 + float(number)))
        torch._foreach_lerp_(averaged, current, 1.0 - decay)

    def _modules(self, optimiser: torch.optim.Optimizer, average: AveragedModel | None) -> Modules:
        return Modules(self.model, optimiser, average, None if self.pool is None else self.pool.analysis)

    def _due_checkpoint(self, step: int) -> bool:
        late = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
        return late or step % self.config.checkpoint_every == 0

    def _save(self, modules: Modules, progress: Progress) -> None:
        save_checkpoint(self.checkpoint, self.run, modules, progress)
        self._saved_at = time.monotonic()
        with _writing_to(self.folder):
            for name, rows in (("log", progress.log), ("validation", progress.validation)):
                if rows:
                    pq.write_table(pa.Table.from_pylist(rows), self.folder / f"{name}.parquet")

    def _validate(self, average: AveragedModel | None, step: int, reporter: Reporter) -> None:
        model = self.model if average is None else average.module
        assert isinstance(model, CompressionModel)
        with _writing_to(self.folder):
            measured = self.validation.measure(model, step, self.folder / f"sheet-{step:07d}.png")
        reporter.validated(measured)

    def _diverged(self, what: str, step: int, batch: TrainingBatch) -> TrainingError:
        """The error that ends the run, with the batch's photos and places written down."""
        path = self.folder / f"diverged-{step}.json"
        crops = [
            {"image_id": self.data.photos[place.photo].image_id, **asdict(place), "unusual": bool(unusual)}
            for place, unusual in zip(batch.places, batch.unusual, strict=True)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"step": step, "quality": batch.quality, "crops": crops}, indent=2))
        return TrainingError(
            f"the {what} is not finite at step {step}; lower learning_rate, or look at the crops that {path} lists"
        )


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Raises TrainingError if a file cannot be written: the last checkpoint is whole."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be written ({error.strerror or error}); free some space or make the folder writable, and "
            "run the same command again: it continues from its last checkpoint"
        ) from error


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The signal that asked the process to stop, 0 if none has, as a list of one."""
    received = [0]

    def handle(number: int, _: object) -> None:
        received[0] = number

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
