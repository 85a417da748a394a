"""What a run says about itself while it trains."""

import logging

import numpy as np

from clc.training.checkpoint import Progress, Row
from clc.training.config import TrainingConfig
from clc.training.schedule import Budget
from clc.training.tensorboard import Board

logger = logging.getLogger(__name__)


class Reporter:
    """Collects scalars of steps into rows of the log, one every `log_every` steps, and prints them.

    returns: how often the run has diverged. completed: the losses of the steps of the last row.
    """

    def __init__(
        self, config: TrainingConfig, budget: Budget, before: Progress, devices: int, board: Board | None = None
    ) -> None:
        self.log = list(before.log)
        self.validation = list(before.validation)
        self.returns = before.returns
        self.completed: list[float] = []
        self._config = config
        self._budget = budget
        self._crops = config.batch * devices
        self._since = list(before.unlogged)
        self._last = before.seconds
        self._board = board

    def record(self, step: int, scalars: Row) -> bool:
        """Add a step that is done; whether that completed a row."""
        self._since.append(scalars)
        if step % self._config.log_every:
            return False
        seconds = self._budget.seconds
        means = {name: float(np.mean([row[name] for row in self._since])) for name in self._since[0]}
        speed = len(self._since) * self._crops / max(seconds - self._last, 1e-9)
        self.log.append({"step": float(step), **means, "seconds": seconds, "crops_per_second": speed})
        self.completed = [row["loss"] for row in self._since]
        self._since.clear()
        self._last = seconds
        return True

    def went_back(self) -> None:
        """The run has diverged: the steps since the last row are undone."""
        self.returns += 1
        self._since.clear()

    def progress(self, step: int, seconds: float) -> Progress:
        """What a checkpoint holds of this."""
        return Progress(step, seconds, self.log, self.validation, self._since, self.returns)

    def report(self) -> None:
        """Print the last row."""
        row = self.log[-1]
        if self._board is not None:
            self._board.steps(row)
        spent = self._budget.spent(int(row["step"]), row["seconds"])
        logger.info(
            "stage=train step=%d done=%.1f%% loss=%.3f bpp=%.3f psnr=%.2f crops/s=%.1f eta=%.0fs",
            *(row["step"], 100 * spent, row["loss"], row["bpp"], row["psnr"], row["crops_per_second"]),
            row["seconds"] * (1 / spent - 1),
        )

    def validated(self, rows: list[Row]) -> None:
        """Add and print measurements on held-out photos."""
        self.validation += rows
        if self._board is not None:
            self._board.held_out(rows)
        for prefix, kind in (("", "held-out"), ("related_", "held-out, related references")):
            points = " ".join(
                f"q{row['quality']:.0f}={row[f'{prefix}bpp']:.3f}bpp/{row[f'{prefix}psnr']:.2f}dB"
                for row in rows
                if f"{prefix}bpp" in row
            )
            if points:
                logger.info("stage=train step=%d %s %s", rows[0]["step"], kind, points)
