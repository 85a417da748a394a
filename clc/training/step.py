"""One training step: R + λ·D over crops and references (paper eq. 9), with batches from either kind of drawing."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from clc.model.conditioning.fusion import Features
from clc.model.network import CompressionModel
from clc.model.tiles import to_unit_range
from clc.model.transforms.folded import SCALES
from clc.training.checkpoint import Row
from clc.training.config import Part, Precision, TrainingConfig
from clc.training.data.batches import TrainingBatch, TrainingBatches
from clc.training.data.coded_views import coded_views
from clc.training.data.device_batches import DeviceBatches
from clc.training.data.reference_pool import ReferencePool
from clc.training.distributed import Processes
from clc.training.graphs import Run, captured
from clc.training.objective import Loss, balance, rate_distortion
from clc.training.optimisers import Optimisers

_SEED_STRIDE = 1_000_003
_MOST_DEVICES = 4096
_RUN_AHEAD = 20  # steps that may be queued on a GPU
_SCALARS = ("loss", "bpp", "psnr", "gradient_norm")


class DivergedError(Exception):
    """A step whose loss or gradient is not finite, before it changed anything."""

    def __init__(self, what: str, batch: TrainingBatch) -> None:
        super().__init__(what)
        self.what = what
        self.batch = batch


@dataclass(frozen=True)
class Network:
    """What learns, and how: the model, as it is wrapped for several processes, and its optimisers.

    pool: None for a model that takes no references from a dictionary.
    """

    model: CompressionModel
    wrapped: torch.nn.Module
    pool: ReferencePool | None
    config: TrainingConfig
    optimisers: Optimisers

    def loss(self, batch: TrainingBatch) -> Loss:
        """Of a batch on the model's device."""
        image = to_unit_range(batch.pixels).contiguous(memory_format=torch.channels_last)
        # What only informs the prior does not change the picture.
        synthesise = self.config.part is Part.ALL or self.model.config.fuses
        half = self.config.precision is Precision.BFLOAT16
        with torch.autocast(image.device.type, torch.bfloat16, enabled=half):
            if batch.views is not None and self.config.coded_share:
                batch = replace(batch, views=coded_views(self.model, batch.views, self.config.coded_share))
            references, features = conditions_of(batch, self.pool, self.model)
            result = self.wrapped(image, references, batch.quality, synthesise=synthesise, features=features)
        return rate_distortion(result, image, batch.quality, self.config.distortion)

    def weighed(self, loss: Loss, batch: TrainingBatch) -> Tensor:
        """What gradients are taken of."""
        return (loss.total * balance(batch.quality, self.config.qualities)).mean()

    def clip(self) -> Tensor:
        """Bound the norm of the gradient; what it was."""
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)


def conditions_of(
    batch: TrainingBatch, pool: ReferencePool | None, model: CompressionModel
) -> tuple[Tensor | None, Features | None]:
    """Latents [B, M, C, 16, 16] of the references of a batch on the pool's device, and what a model that fuses takes of
    them, which are all views then; None where there is nothing.
    """
    if batch.entries is None:
        return None, None
    assert pool is not None
    if not model.config.fuses:
        return _references_of(batch, batch.entries, pool), None
    assert batch.views is not None, "all references of a model that fuses are views"
    references, features = pool.with_features(batch.views, batch.entries.shape[1])
    sides = (batch.pixels.shape[1] // reduction for reduction in SCALES)  # a smaller crop lies in a view's first corner
    return references, tuple(each[..., :side, :side] for each, side in zip(features, sides, strict=True))


def _references_of(batch: TrainingBatch, entries: Tensor, pool: ReferencePool) -> Tensor:
    references = pool.select(entries)
    if batch.views is None or batch.related is None:
        return references
    views = pool.analyse(batch.views)
    if len(views) == batch.related.numel():
        return torch.where(batch.related[..., None, None, None], views.view_as(references), references)
    references[batch.related] = views
    return references


def seed_step(config: TrainingConfig, step: int, index: int = 0) -> None:
    """Quantisation noise, the sampling of eq. 5 and what a device draws follow from the step."""
    torch.manual_seed((config.seed * _SEED_STRIDE + step) * _MOST_DEVICES + index)


class Steps(Protocol):
    """Runs the steps of one process."""

    def run(self, step: int, learning_rate: float) -> None:
        """Train on the batches of a step. Raises DivergedError where that is known at once."""

    def rows(self, all_of_them: bool) -> list[Row]:
        """Scalars of the steps since the last that this gave.

        all_of_them: wait for those that are not known yet.
        """

    def batch(self, step: int) -> TrainingBatch:
        """What a step trains on, drawn again."""


class HostSteps:
    """With batches that are drawn on the CPU, by any number of processes."""

    def __init__(
        self, network: Network, batches: TrainingBatches, step: int, share: range, processes: Processes, loaders: int
    ) -> None:
        self._network = network
        self._batches = batches
        self._share = share
        self._processes = processes
        self._upcoming: Iterator[TrainingBatch] = batches.upcoming(step, share, loaders)
        self._rows: list[Row] = []

    def run(self, step: int, learning_rate: float) -> None:
        """One step. Raises DivergedError in all processes if it is one's."""
        network = self._network
        network.optimisers.set_rate(learning_rate)
        network.optimisers.zero_grad()
        losses, bad = [], None
        batches = [next(self._upcoming) for _ in self._share]
        for index, drawn in zip(self._share, batches, strict=True):
            batch = drawn.to(network.model.device)
            seed_step(network.config, step, index)
            loss = network.loss(batch)
            if not torch.isfinite(loss.total).all():
                bad = DivergedError("loss", drawn)
                if self._processes.count == 1:
                    raise bad
            losses.append(loss)
            with contextlib.ExitStack() as stack:
                wrapped = network.wrapped
                if index != self._share[-1] and isinstance(wrapped, torch.nn.parallel.DistributedDataParallel):
                    stack.enter_context(wrapped.no_sync())
                (network.weighed(loss, batch) / len(self._share)).backward()
        norm = network.clip()
        if bad is None and not torch.isfinite(norm):
            bad = DivergedError("gradient", batches[-1])
        if any(self._processes.largest(float(bad is not None))):
            raise bad or DivergedError("loss of another process", batches[-1])
        network.optimisers.step()
        self._rows.append(
            {
                "loss": float(np.mean([loss.total.mean().item() for loss in losses])),
                "bpp": float(np.mean([loss.bpp.mean().item() for loss in losses])),
                "psnr": float(np.mean([loss.psnr for loss in losses])),
                "gradient_norm": norm.item(),
                "learning_rate": learning_rate,
            }
        )

    def rows(self, all_of_them: bool) -> list[Row]:
        """Each at once."""
        rows, self._rows = self._rows, []
        return [self._processes.mean(row) for row in rows]

    def batch(self, step: int) -> TrainingBatch:
        """The last of this process."""
        return self._batches[step, self._share[-1]]


class DeviceSteps:
    """With batches that are drawn where the model is, as two CUDA graphs on a GPU: one without references, one with.

    Nothing of a step is known before its row of the log is asked for: one that is not finite has changed the weights.
    """

    def __init__(self, network: Network, batches: DeviceBatches) -> None:
        self._network = network
        self._batches = batches
        device = network.model.device
        self._kept = torch.zeros(network.config.log_every, len(_SCALARS), device=device)
        self._next = torch.zeros(1, dtype=torch.long, device=device)
        self._rates: list[float] = []
        self._runs: dict[bool, Run] = {
            conditioned: lambda conditioned=conditioned: self._train(conditioned)  # type: ignore[misc]
            for conditioned in ((False, True) if network.pool is not None else (False,))
        }

    def capture(self) -> None:
        """Make graphs of the steps. They are run for that, so the caller restores the weights afterwards."""
        pool = None
        for conditioned, name in ((False, "plain"), (True, "conditioned")):
            if conditioned in self._runs and self._needed(conditioned):
                self._network.optimisers.zero_grad()
                self._runs[conditioned], pool = captured(self._runs[conditioned], name, pool)
        self._next.zero_()

    def run(self, step: int, learning_rate: float) -> None:
        """One step, which may still be queued when this returns."""
        if step % _RUN_AHEAD == 0 and self._kept.is_cuda:
            torch.cuda.synchronize()
        self._network.optimisers.set_rate(learning_rate)
        seed_step(self._network.config, step)
        self._runs[self._conditioned(step)]()
        self._rates.append(learning_rate)

    def rows(self, all_of_them: bool) -> list[Row]:
        """None unless all are asked for, which waits for the device; at most `log_every` steps are kept."""
        if not all_of_them or not self._rates:
            return []
        kept = self._kept[: len(self._rates)].tolist()
        rows = [
            dict(zip(_SCALARS, scalars, strict=True)) | {"learning_rate": rate}
            for scalars, rate in zip(kept, self._rates, strict=True)
        ]
        self._rates.clear()
        self._next.zero_()
        return rows

    def batch(self, step: int) -> TrainingBatch:
        """That of a step."""
        seed_step(self._network.config, step)
        return self._batches.draw(self._conditioned(step))

    def _train(self, conditioned: bool) -> None:
        network = self._network
        batch = self._batches.draw(conditioned)
        network.optimisers.zero_grad()
        loss = network.loss(batch)
        network.weighed(loss, batch).backward()
        norm = network.clip()
        network.optimisers.step()
        self._kept.index_copy_(0, self._next, torch.cat([loss.scalars, norm.detach()[None]])[None])
        self._next += 1

    def _conditioned(self, step: int) -> bool:
        config = self._network.config
        drawn = np.random.default_rng((config.seed, step)).random()
        return self._network.pool is not None and bool(drawn >= config.unconditioned_share)

    def _needed(self, conditioned: bool) -> bool:
        share = self._network.config.unconditioned_share
        return share < 1 if conditioned else share > 0 or self._network.pool is None
