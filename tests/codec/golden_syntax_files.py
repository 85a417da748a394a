"""Golden files of the syntax: a very small frozen model that has one, streams with and without, and what they show.

They were written once, by `python -m tests.codec.golden_syntax_files`. Streams of one format version must decode for
ever, so nobody writes them again.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from clc.codec.codec import Codec
from clc.codec.encoder import Encoder
from clc.codec.frozen_model import FrozenModel
from clc.model.config import Conditioning, ModelConfig
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.priors.tables import FrequencyTables
from clc.model.syntax.config import PostProcessingConfig, SyntaxConfig
from clc.model.tiles import to_tensor
from clc.model.weights import pack, unpack
from tests.codec.golden_files import CONFIG, FOLDER, MODEL_ID, picture

SYNTAX = FOLDER / "syntax"
SIZE, QUALITY = (65, 90), 60.0
_TABLES = ("hyper", "latent")


def golden_syntax_codec(folder: Path = SYNTAX) -> Codec:
    """The codec that the files hold."""
    tensors = load_file(folder / "model.safetensors")
    model = CompressionModel(ModelConfig.model_validate_json((folder / "config.json").read_text()))
    stored = {name.removeprefix("weights."): array for name, array in tensors.items() if name.startswith("weights.")}
    model.load_state_dict(unpack(stored, model))
    tables = (FrequencyTables(tensors[f"{kind}.radius"], tensors[f"{kind}.frequencies"]) for kind in _TABLES)
    model.restore(*tables)
    return Codec(model, MODEL_ID)


def _write_model() -> None:
    syntax = SyntaxConfig(numbers=6, part=8, width=8, hidden=8, post=PostProcessingConfig(width=8))
    config = CONFIG.model_copy(update={"conditioning": Conditioning.NONE, "syntax": syntax})
    torch.manual_seed(5)
    model = CompressionModel(config)
    assert model.syntax is not None
    assert model.syntax.post is not None
    for layer in (model.syntax.layer.last, model.syntax.post.generated.last, model.syntax.post.last):
        torch.nn.init.normal_(layer.weight, std=0.02)
    crop = to_tensor(picture(1, 64, 64)[None])
    model.freeze([CalibrationCrop(crop, None, quality) for quality in (1.0, QUALITY, 100.0)])
    arrays = {f"weights.{name}": array for name, array in pack(model).items()}
    for kind, tables in zip(_TABLES, (model.hyper_tables, model.latent_tables), strict=True):
        arrays |= {f"{kind}.radius": tables.radius, f"{kind}.frequencies": tables.frequencies}
    save_file(arrays, SYNTAX / "model.safetensors")
    (SYNTAX / "config.json").write_text(config.model_dump_json(indent=1))


def _write() -> None:
    SYNTAX.mkdir(exist_ok=True)
    _write_model()
    codec = golden_syntax_codec()
    image = picture(2)[: SIZE[0], : SIZE[1]]
    encoders = {
        "with": codec.encoder,
        "without": Encoder(FrozenModel(codec.model, MODEL_ID), codec.lookup, syntax=False),
    }
    for name, encoder in encoders.items():
        data = encoder.compress(image, quality=QUALITY, references=False, always=True)
        (SYNTAX / f"{name}.clc").write_bytes(data)
        for suffix, post in (("", False), ("-post", True)):
            shown = codec.decompress(data, post=post)
            Image.fromarray(np.ascontiguousarray(shown)).save(SYNTAX / f"{name}{suffix}.png", optimize=True)


if __name__ == "__main__":
    _write()
