"""Golden files of the codec: a very small frozen model, reference latents, streams, and what they decode to.

They were written once, by `python -m tests.codec.golden_files`. Streams of one format version must decode for ever, so
nobody writes them again unless the format version changes.
"""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save_file

from clc.codec.attention import AttentionConfig
from clc.codec.bitstream import tile_count
from clc.codec.codec import Codec
from clc.codec.matching import MatchingConfig
from clc.codec.model import CalibrationCrop, CompressionModel, Conditioning, ModelConfig
from clc.codec.prior import PriorConfig
from clc.codec.prior_matching import PriorMatchingConfig
from clc.codec.references import Alignment, ReferenceLatents
from clc.codec.tables import FrequencyTables
from clc.codec.transforms import ConvolutionalConfig
from tests.conftest import picture

FOLDER = Path(__file__).parent / "golden"
APART = FOLDER / "apart"
MODEL_ID, DICTIONARY_ID = "0123456789abcdef", "fedcba9876543210"
CONFIG = ModelConfig(
    transform=ConvolutionalConfig(widths=(12, 16, 24), hidden=(12, 16, 16), blocks=(1, 0, 1), latent_channels=24),
    prior=PriorConfig(hyper_channels=8, hyper_width=12, slices=(8, 16), slice_width=12),
    matching=MatchingConfig(
        embedding=16, width=8, groups=1, scales=1, attention=AttentionConfig(levels=(1,), dimension=8)
    ),
    prior_matching=PriorMatchingConfig(dimension=8),
    conditioning=Conditioning.BOTH,
    references=2,
)
IMAGES = {
    # name: (height, width, quality, references, one set for the whole image)
    "tiles": (90, 280, 60.0, True, False),
    "image": (280, 90, 35.25, True, True),
    "alone": (65, 67, 90.0, False, False),
    "pixel": (1, 1, 1.0, True, False),
}


class Cycling:
    """Retrieves entries in turn."""

    def __init__(self, entries: int, whole_image: bool) -> None:
        self.entries = entries
        self.whole_image = whole_image

    def retrieve(self, image: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
        queries = 1 if self.whole_image else tile_count(*image.shape[:2])
        return (np.arange(queries)[:, None] + np.arange(number)) % self.entries


ALIGNED = Alignment(np.array([3, 1]), np.array([[(9, -20), (40, 3), (-5, 66), (70, 10)], [(0, 0)] * 4], dtype=np.int32))


class Scenes:
    """A photo for each entry."""

    bytes = 0

    def photo(self, entry: int) -> NDArray[np.uint8]:
        return picture(entry, 100, 300)


def golden_codec(whole_image: bool = False, folder: Path = FOLDER) -> Codec:
    """The codec that the files of a folder hold."""
    tensors = load_file(folder / "model.safetensors")
    model = CompressionModel(ModelConfig.model_validate_json((folder / "config.json").read_text()))
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights = {name: torch.from_numpy(tensors[f"weights.{name}"]).reshape(shape) for name, shape in shapes.items()}
    model.load_state_dict(weights)
    tables = [FrequencyTables(tensors[f"{k}.radius"], tensors[f"{k}.frequencies"]) for k in ("hyper", "latent")]
    model.restore(*tables)
    latents = ReferenceLatents(tensors["latents.values"], tensors["latents.exponents"], DICTIONARY_ID, MODEL_ID)
    return Codec(model, MODEL_ID, latents, Cycling(len(latents), whole_image), Scenes())


def _write_model(config: ModelConfig, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = CompressionModel(config)
    for parameter in model.parameters():  # away from the start of training, where much is zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    crop = torch.from_numpy(picture(1)[:128, :128].copy()).permute(2, 0, 1)[None] / 255.0
    values = torch.randint(-60, 60, (5, 24, 16, 16), dtype=torch.int8).numpy()
    exponents = np.full(24, 7, dtype=np.int32)
    latents = ReferenceLatents(values, exponents, DICTIONARY_ID, MODEL_ID)
    references = latents.select(np.array([[0, 1]]))
    model.freeze([CalibrationCrop(crop, references, quality) for quality in (1.0, 50.0, 100.0)])
    tensors = {f"weights.{name}": np.atleast_1d(t.float().numpy()) for name, t in model.state_dict().items()}
    for name, table in (("hyper", model.hyper_tables), ("latent", model.latent_tables)):
        tensors |= {f"{name}.radius": table.radius, f"{name}.frequencies": table.frequencies}
    tensors |= {"latents.values": values, "latents.exponents": exponents}
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.model_dump(mode="json"), indent=1) + "\n")


def _write() -> None:
    _write_model(CONFIG, FOLDER)
    for name, (height, width, quality, uses_references, whole_image) in IMAGES.items():
        codec = golden_codec(whole_image)
        data = codec.compress(picture(2)[:height, :width], quality=quality, references=uses_references)
        (FOLDER / f"{name}.clc").write_bytes(data)
        Image.fromarray(codec.decompress(data)).save(FOLDER / f"{name}.png", optimize=True)


def _write_aligned() -> None:
    """What format version 5 added, with the model of version 4."""
    codec = golden_codec()
    image = picture(2)[:90, :280]
    references = codec.lookup.aligned(ALIGNED, *image.shape[:2])
    data = codec.code(codec.analyse(image, references=False), 60.0, references).data
    (FOLDER / "aligned.clc").write_bytes(data)
    Image.fromarray(codec.decompress(data)).save(FOLDER / "aligned.png", optimize=True)


def _write_apart() -> None:
    """Streams of a model that has networks of their own for what is coded without references."""
    matching = CONFIG.prior_matching.model_copy(update={"apart": True})
    _write_model(CONFIG.model_copy(update={"prior_matching": matching, "conditioning": Conditioning.PRIOR}), APART)
    codec = golden_codec(folder=APART)
    for name, references in (("alone", False), ("tiles", True)):
        data = codec.compress(picture(2)[:90, :280], quality=60.0, references=references, always=references)
        (APART / f"{name}.clc").write_bytes(data)
        Image.fromarray(codec.decompress(data)).save(APART / f"{name}.png", optimize=True)


if __name__ == "__main__":
    _write()
    _write_aligned()
    _write_apart()
