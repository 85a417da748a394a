"""TensorBoard, for who wants to watch a run: the scalars of its log, as they come."""

from pathlib import Path

from clc.errors import TrainingError
from clc.training.checkpoint import Row


class Board:
    """Writes event files into a run's folder. Raises TrainingError if TensorBoard is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ModuleNotFoundError as error:
            raise TrainingError(
                "TensorBoard is not installed; install clc with the extra `tensorboard`, or train without it"
            ) from error
        self._writer: SummaryWriter = SummaryWriter(folder)

    def steps(self, row: Row) -> None:
        """A row of the log."""
        for name in row.keys() - {"step"}:
            self._writer.add_scalar(f"training/{name}", row[name], int(row["step"]))
        self._writer.flush()

    def held_out(self, rows: list[Row]) -> None:
        """Measurements on held-out photos, a curve for each quality."""
        for row in rows:
            for name in row.keys() - {"step", "quality"}:
                self._writer.add_scalar(f"held-out/{name} at quality {row['quality']:g}", row[name], int(row["step"]))
        self._writer.flush()
