"""Stage `train`: photos, and the references assigned to them from a dictionary version → a frozen model version."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from clc.codec.artifacts import tables_of, write_model
from clc.errors import TrainingError
from clc.images.provenance import PhotoIdentity, identity_table
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.tiles import TILE_SIZE, to_unit_range
from clc.store import Draft, Kind, Recipe, StageResult, Store, Version, run_stage
from clc.training.checkpoint import remove_checkpoint
from clc.training.config import Part
from clc.training.data.crops import TrainingSet
from clc.training.data.decoded_photos import TrainingPhoto, decode_photos
from clc.training.data.reference_pool import ReferencePool
from clc.training.data.windows import assigned_windows, grid_windows
from clc.training.distributed import Processes
from clc.training.job import TrainingJob
from clc.training.loop import CHECKPOINT, Trainer
from clc.training.start import Start, photos_of, weights_of
from clc.training.step import conditions_of
from clc.training.validation import Validation, held_out

_CALIBRATION_STEPS = 12
_CALIBRATION_CROPS = 4  # at most, of each step
_DERIVED = {"clc.identity": "derived"}
LOG_SCHEMA = pa.schema(
    [
        pa.field(name, pa.float64(), metadata=_DERIVED)
        for name in ("step", "seconds", "loss", "bpp", "psnr", "gradient_norm", "learning_rate", "crops_per_second")
    ]
)
VALIDATION_SCHEMA = pa.schema(
    [pa.field(name, pa.float64(), metadata=_DERIVED) for name in ("step", "quality", "bpp", "psnr")]
)
RELATED_SCHEMA = pa.schema(
    [*VALIDATION_SCHEMA, *(pa.field(f"related_{name}", pa.float64(), metadata=_DERIVED) for name in ("bpp", "psnr"))]
)


def train(
    job: TrainingJob,
    *,
    store: Store,
    runs: Path,
    device: str = "cpu",
    restart: bool = False,
    force: bool = False,
    processes: Processes | None = None,
    tensorboard: bool = False,
    loaders: int = 0,
    piece_bytes: int | None = None,
) -> StageResult:
    """Train a model against exactly this dictionary version, freeze it and publish it.

    runs: local folder; each run has a folder there, named by its recipe, with checkpoint, log and sheets. An
    interrupted run of the same recipe continues from there.
    restart: start again instead.
    tensorboard: also write the log as TensorBoard reads it, into the run's folder.
    loaders, piece_bytes: see `Trainer`.
    processes: this one's place among several; the first calls this, the others `take_part`.
    Raises TrainingError for inputs that do not belong together, too few or too small photos or a folder that cannot be
    written, before training starts; and what `Trainer.train` raises.
    """
    job.check()
    recipe = job.recipe

    def build(draft: Draft) -> None:
        trainer, photos = _trainer(job, recipe, runs, device, processes or Processes(), loaders)
        trainer.tensorboard = tensorboard
        trainer.piece_bytes = piece_bytes
        if restart:
            remove_checkpoint(trainer.checkpoint)
        progress = trainer.train()
        _freeze(trainer, job, progress.step)
        write_model(draft, trainer.model)
        validated = RELATED_SCHEMA if trainer.model.config.fuses else VALIDATION_SCHEMA
        for name, table in (
            ("log", pa.Table.from_pylist(progress.log, schema=LOG_SCHEMA)),
            ("validation", pa.Table.from_pylist(progress.validation, schema=validated)),
            ("photos", identity_table(_learned_from(photos, job.start))),
        ):
            with draft.table(name, table.schema) as writer:
                writer.write(table)
        draft.attributes |= {
            "preset": job.network.preset,
            "training": job.config.recorded,
            "start": None if job.start is None else job.start.id,
        }
        if job.dictionary is not None and job.assignments is not None:
            draft.attributes |= {
                "dictionary": job.dictionary.id,
                "retrieval": job.assignments.attributes["retrieval"],
            }
        draft.statistics |= {
            "steps": progress.step,
            "seconds": progress.seconds,
            "photos": len(photos),
            "windows": len(trainer.data),
        }

    result = run_stage(store, Kind.MODEL, recipe, build, force=force)
    if not result.skipped:
        remove_checkpoint(_folder(runs, recipe) / CHECKPOINT)  # only after the model is published
    return result


def take_part(
    job: TrainingJob, *, store: Store, runs: Path, device: str, processes: Processes, loaders: int = 0
) -> None:
    """What every process but the first does: it trains, and publishes nothing."""
    job.check()
    recipe = job.recipe
    if store.find(recipe) is None:
        _trainer(job, recipe, runs, device, processes, loaders)[0].train()


def _folder(runs: Path, recipe: Recipe) -> Path:
    return runs / recipe.hash[:16]


def _trainer(
    job: TrainingJob, recipe: Recipe, runs: Path, device: str, processes: Processes, loaders: int
) -> tuple[Trainer, list[TrainingPhoto]]:
    """A run at its beginning, with the photos that it decoded."""
    folder = _folder(runs, recipe)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # every process tries, each with a file of its own
            pass
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be written ({error.strerror or error}); name another folder for runs"
        ) from error
    place = torch.device(device)
    photos = decode_photos(job.photos)
    windows = grid_windows(photos) if job.assignments is None else assigned_windows(photos, job.assignments)
    apart = held_out(photos, job.config.held_out)
    windows = windows.of_photos(~apart)
    if not len(windows):
        raise TrainingError(
            f"{job.photos.spec}: none of {len(photos)} photos has {TILE_SIZE}×{TILE_SIZE} pixels to train on; "
            "use larger photos"
        )
    torch.manual_seed(job.config.seed)
    model = CompressionModel(job.network.config)
    if job.start is not None:
        model.start_from(weights_of(job.start))
    model.to(place).use_channels_last()
    trainer = Trainer(
        model=model,
        data=TrainingSet(photos, windows),
        pool=None if job.dictionary is None else ReferencePool(job.dictionary, place),
        validation=Validation([photo for photo, out in zip(photos, apart, strict=True) if out]),
        config=job.config,
        folder=folder,
        run=recipe.hash,
        processes=processes,
        loaders=loaders,
        learned_from=_learned_from(photos, job.start),
    )
    return trainer, photos


def _learned_from(photos: list[TrainingPhoto], start: Start | None) -> list[PhotoIdentity]:
    """Every photo that the weights have learned from, here or in the runs before."""
    before = [] if start is None else photos_of(start)
    return [*before, *(photo.identity for photo in photos)]


def _freeze(trainer: Trainer, job: TrainingJob, step: int) -> None:
    """Make the trained model exact. Where nothing of the prior path learned, it stays as the start has it, with its
    grids and tables: what codes without references then gives the same bytes, and what it gives is decoded alike.
    """
    if job.config.part is Part.FUSION and isinstance(job.start, Version):
        trainer.model.cpu().restore(*tables_of(job.start))
        return
    crops = list(_calibration(trainer, step))
    trainer.model.cpu().freeze(crops)


def _calibration(trainer: Trainer, step: int) -> Iterator[CalibrationCrop]:
    """Training batches, crop by crop, with qualities spread over the whole range."""
    trainer.model.eval()
    if trainer.pool is not None:
        trainer.pool.refresh(trainer.model.g_a)
    # Where other networks code without references, `freeze` shows every crop to both, whatever was trained.
    share = 0.0 if trainer.model.config.two_priors else trainer.config.unconditioned_share
    for index, quality in enumerate(np.linspace(*trainer.config.qualities, _CALIBRATION_STEPS)):
        batch = trainer.batches.draw(step, index, share).to(trainer.model.device)
        references, features = conditions_of(batch, trainer.pool, trainer.model)
        for row, image in enumerate(to_unit_range(batch.pixels[:_CALIBRATION_CROPS])):
            own = None if references is None else references[row : row + 1].cpu()
            pictured = None if features is None else tuple(each[row : row + 1].cpu() for each in features)
            yield CalibrationCrop(image[None].cpu(), own, float(quality), pictured)
