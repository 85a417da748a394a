"""The training loop: budget, checkpoints, measurements, and what happens when a run diverges."""

import contextlib
import json
import logging
import math
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from clc.errors import TrainingError, TrainingStoppedError
from clc.images.provenance import PhotoIdentity
from clc.model.network import CompressionModel
from clc.model.transforms.processor import multiplies_bfloat16
from clc.training.checkpoint import Modules, Progress, has_checkpoint, load_checkpoint, save_checkpoint
from clc.training.config import Drawing, Precision, TrainingConfig
from clc.training.data.batches import TrainingBatch, TrainingBatches
from clc.training.data.crops import TrainingSet
from clc.training.data.device_batches import DeviceBatches
from clc.training.data.reference_pool import ReferencePool
from clc.training.distributed import Processes
from clc.training.divergence import SLOWER, LossWatch, Snapshot
from clc.training.optimisers import Optimisers
from clc.training.parts import learn_only, learns
from clc.training.reporter import Reporter
from clc.training.schedule import Budget, steps_of
from clc.training.start import AVERAGE, write_average
from clc.training.step import DeviceSteps, DivergedError, HostSteps, Network, Steps
from clc.training.tensorboard import Board
from clc.training.validation import Validation

logger = logging.getLogger(__name__)

Tensors = list[Tensor] | tuple[Tensor, ...]

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 60.0
"""A checkpoint is written after so many seconds at the latest, however long `checkpoint_every` steps take."""


@dataclass
class Trainer:
    """A run that can be continued: every random choice of a step follows from the seed and the step's number.

    pool: None for a model that takes no references from a dictionary.
    folder: of the run, where checkpoint, log and sheets are.
    run: identifies configuration and inputs; a checkpoint of another run is refused.
    tensorboard: also write the log as TensorBoard reads it.
    loaders: processes beside this one that draw crops and related views; a GPU waits for them otherwise.
    piece_bytes: write checkpoints in files of at most so many bytes, and the moving average alone beside them, as
    float16, for machines from which little can be carried. learned_from: the photos that it names.
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
    piece_bytes: int | None = None
    learned_from: Sequence[PhotoIdentity] = ()
    _saved_at: float = field(default_factory=time.monotonic, init=False)

    def train(self) -> Progress:
        """Train to the end of the budget, from the checkpoint if there is one; the model then holds the moving average.

        Raises TrainingError if it diverges more often than the configuration allows; its message names the file that
        says with which crops. Raises TrainingStoppedError after SIGTERM or SIGINT, once a checkpoint is written.
        """
        config = self.config
        self._check()
        devices = config.devices or self.processes.count
        share = self.processes.share(devices)
        learn_only(config.part, self.model)
        drawn_here = config.drawing is Drawing.DEVICE
        optimisers = Optimisers(self.model, config, on_device=drawn_here)
        network = Network(self.model, self.processes.wrapped(self.model), self.pool, config, optimisers)
        average = AveragedModel(self.model, multi_avg_fn=self._average) if config.average else None
        if self.pool is not None:
            self.pool.refresh(self.model.g_a)
        modules = self._modules(optimisers, average)
        progress = Progress()
        if has_checkpoint(self.checkpoint):
            progress = load_checkpoint(self.checkpoint, self.run, modules)
            logger.info("stage=train resumed step=%d seconds=%.0f", progress.step, progress.seconds)
            if self.pool is not None:
                self.pool.refresh(self.pool.analysis)
        self.model.train()
        changing = self.pool if learns(self.model.g_a) else None
        snapshot = Snapshot(modules, progress.step)
        on_device = self._device_steps(network, snapshot) if drawn_here else None
        budget = Budget(config, steps_of(config, len(self.data), devices), progress.seconds)
        board = Board(self.folder) if self.tensorboard and self.processes.first else None
        reporter = Reporter(config, budget, progress, devices, board)
        watch = LossWatch()
        step = progress.step
        with _stop_signals() as stopped_by:
            # From here on: a signal to all processes must not end those that draw before this one has stopped.
            steps: Steps = on_device or HostSteps(network, self.batches, step, share, self.processes, self.loaders)
            while True:
                seconds, stop = self.processes.largest(budget.seconds, float(stopped_by[0]))
                over = budget.spent(step, seconds) >= 1.0
                if over or stop or (step > progress.step and self._due_checkpoint(step)):
                    self._report(steps, step, reporter, watch, snapshot, everything=True)
                    if self.processes.first:
                        self._save(modules, reporter.progress(step, seconds))
                if stop:
                    raise TrainingStoppedError(step, int(stop))
                if over:
                    break
                if changing is not None and step % config.refresh_every == 0:
                    changing.refresh(self.model.g_a)
                try:
                    steps.run(step, budget.learning_rate(step, seconds) * SLOWER**reporter.returns)
                except DivergedError as found:
                    self._go_back(found.what, step, found.batch, reporter, snapshot)
                    step += 1
                    continue
                if average is not None:
                    average.update_parameters(self.model)
                step += 1
                self._report(steps, step, reporter, watch, snapshot, everything=step % config.log_every == 0)
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
        return TrainingBatches(self.data, self.config, self.model.config.fuses)

    def _check(self) -> None:
        config = self.config
        if config.drawing is Drawing.DEVICE and ((config.devices or 1) > 1 or self.processes.count > 1):
            raise TrainingError(
                'drawing = "device" is for one batch a step in one process; set devices to 1, or draw "host"'
            )
        if config.precision is Precision.BFLOAT16 and not multiplies_bfloat16(self.model.device):
            logger.warning(
                "stage=train precision=bfloat16: this CPU has no instructions for it; float32 is faster here"
            )

    def _device_steps(self, network: Network, snapshot: Snapshot) -> DeviceSteps:
        steps = DeviceSteps(network, DeviceBatches(self.data, self.config, self.model.device, self.model.config.fuses))
        if self.model.device.type == "cuda":
            torch.cuda.set_device(self.model.device)  # where graphs are captured
            steps.capture()
            snapshot.restore()
        return steps

    def _report(
        self,
        steps: Steps,
        step: int,
        reporter: Reporter,
        watch: LossWatch,
        snapshot: Snapshot,
        *,
        everything: bool,
    ) -> None:
        """Record what is known of the steps before `step`; where that completes a row, judge it."""
        rows = steps.rows(everything)
        first = step - len(rows)
        for number, row in enumerate(rows):
            if not (math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])):
                self._go_back("loss or gradient", first + number, steps.batch(first + number), reporter, snapshot)
                return
        for number, row in enumerate(rows, first + 1):
            if not reporter.record(number, row):
                continue
            if self.processes.first:
                reporter.report()
            if watch.diverged(reporter.completed):
                self._go_back("loss", number - 1, steps.batch(number - 1), reporter, snapshot, runs_away=True)
            else:
                snapshot.take(number)

    def _average(self, averaged: Tensors, current: Tensors, number: Tensor | int) -> None:
        """Exponential moving average that forgets its first values fast."""
        decay = min(self.config.average, (1.0 + float(number)) / (10.0 + float(number)))
        torch._foreach_lerp_(averaged, current, 1.0 - decay)

    def _modules(self, optimisers: Optimisers, average: AveragedModel | None) -> Modules:
        analysis = None if self.pool is None else self.pool.analysis
        return Modules(self.model, optimisers.adam, average, analysis, optimisers.muon)

    def _due_checkpoint(self, step: int) -> bool:
        late = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
        return late or step % self.config.checkpoint_every == 0

    def _save(self, modules: Modules, progress: Progress) -> None:
        save_checkpoint(self.checkpoint, self.run, modules, progress, self.piece_bytes)
        self._saved_at = time.monotonic()
        with _writing_to(self.folder):
            if self.piece_bytes is not None:
                average = self.model if modules.average is None else modules.average.get_submodule("module")
                assert isinstance(average, CompressionModel)
                write_average(self.folder / AVERAGE, average, self.learned_from, self.piece_bytes)
            for name, rows in (("log", progress.log), ("validation", progress.validation)):
                if rows:
                    pq.write_table(pa.Table.from_pylist(rows), self.folder / f"{name}.parquet")

    def _validate(self, average: AveragedModel | None, step: int, reporter: Reporter) -> None:
        model = self.model if average is None else average.module
        assert isinstance(model, CompressionModel)
        with _writing_to(self.folder):
            measured = self.validation.measure(model, step, self.folder / f"sheet-{step:07d}.png", self.pool)
        reporter.validated(measured)

    def _go_back(
        self,
        what: str,
        step: int,
        batch: TrainingBatch,
        reporter: Reporter,
        snapshot: Snapshot,
        *,
        runs_away: bool = False,
    ) -> None:
        """Restore the snapshot and learn more slowly from there. The steps go on: the same batch does not come again.

        Raises TrainingError if that has been done too often; the batch's photos and places are written down.
        """
        trouble = f"the {what} {'runs away' if runs_away else 'is not finite'} at step {step}"
        path = self._write_down(step, batch)
        if reporter.returns >= self.config.returns:
            raise TrainingError(f"{trouble}; lower learning_rate, or look at the crops that {path} lists")
        snapshot.restore()
        if self.pool is not None:
            self.pool.refresh(self.model.g_a)
        reporter.went_back()
        logger.warning(
            "stage=train %s, back to the weights of step %d, learning rate ×%.2f, return %d of %d; %s lists the crops",
            *(trouble, snapshot.step, SLOWER**reporter.returns, reporter.returns, self.config.returns, path),
        )

    def _write_down(self, step: int, batch: TrainingBatch) -> Path:
        of_rank = "" if self.processes.first else f"-process-{self.processes.rank}"
        path = self.folder / f"diverged-{step}{of_rank}.json"
        qualities = torch.as_tensor(batch.quality).expand(len(batch.places)).tolist()
        crops = [
            {
                "image_id": self.data.photos[place.photo].image_id,
                **asdict(place),
                "unusual": bool(unusual),
                "quality": quality,
            }
            for place, unusual, quality in zip(batch.places, batch.unusual, qualities, strict=True)
        ]
        with _writing_to(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"step": step, "crops": crops}, indent=2))
        return path


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
