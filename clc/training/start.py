"""Where training starts: a published model, or the moving average that a run left on its way, which can be carried."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from clc.codec.artifacts import read_config
from clc.errors import TrainingError
from clc.images.provenance import PhotoIdentity, read_identities
from clc.model.config import ModelConfig
from clc.model.network import CompressionModel
from clc.model.weights import unpack
from clc.store import Version
from clc.training.pieces import read_pieces, write_pieces

AVERAGE = "average.safetensors"
_KEPT_WHOLE = 4096  # values at most of a tensor that stays in float32: gains, deviations, biases


@dataclass(frozen=True)
class CarriedWeights:
    """Weights of a run that was not finished, as `write_average` left them, with all that a start has to say.

    sha256: of the file; photos: every photo that they have learned from.
    """

    path: Path
    sha256: str
    config: ModelConfig
    state: dict[str, Tensor]
    photos: list[PhotoIdentity]

    @property
    def id(self) -> str:
        """What a model that started from them names."""
        return self.sha256

    @property
    def ref(self) -> str:
        """What a recipe names."""
        return f"weights/{self.sha256}"

    def __str__(self) -> str:
        return f"{self.path.name} {self.sha256[:16]}"


Start = Version | CarriedWeights


def write_average(path: Path, model: CompressionModel, photos: Iterable[PhotoIdentity], most: int) -> None:
    """Write weights in pieces of at most `most` bytes, large tensors as float16.

    Raises OSError if it cannot be written.
    """
    tensors = {
        name: (tensor.half() if tensor.numel() > _KEPT_WHOLE else tensor).cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    said = [
        {"image_id": photo.image_id, "photo_sha256": photo.photo_sha256, "hash": photo.perceptual_hash.hex()}
        for photo in photos
    ]
    metadata = {"config": model.config.model_dump_json(), "photos": json.dumps(said)}
    write_pieces(path, save(tensors, metadata), most)


def read_average(path: Path) -> CarriedWeights:
    """The inverse of `write_average`. Raises TrainingError for what is missing, damaged or of another kind."""
    data = read_pieces(path)
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        state = {name: tensor.float() for name, tensor in load(data).items()}
        config = ModelConfig.model_validate_json(metadata["config"])
        photos = [
            PhotoIdentity(each["image_id"], each["photo_sha256"], bytes.fromhex(each["hash"]), path.name)
            for each in json.loads(metadata["photos"])
        ]
    except (SafetensorError, ValidationError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is no moving average of this release ({error}); start from another model"
        ) from error
    return CarriedWeights(path, hashlib.sha256(data).hexdigest(), config, state, photos)


def config_of(start: Start) -> ModelConfig:
    """The network. Raises CorruptArtifactError if this release has no such network."""
    return start.config if isinstance(start, CarriedWeights) else read_config(start)


def weights_of(start: Start) -> dict[str, Tensor]:
    """Its weights by name."""
    if isinstance(start, CarriedWeights):
        return start.state
    return unpack(start.tensors("weights"), CompressionModel(read_config(start)))  # shapes of the stored weights


def photos_of(start: Start) -> list[PhotoIdentity]:
    """Every photo that it has learned from."""
    if isinstance(start, CarriedWeights):
        return start.photos
    return read_identities(start.table("photos"), str(start))
