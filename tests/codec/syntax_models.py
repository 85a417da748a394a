"""Small models with a neural syntax, whose numbers do something, for tests of what is around them."""

import torch

from clc.codec.artifacts import write_model
from clc.model.config import Conditioning, ModelConfig
from clc.model.network import CalibrationCrop, CompressionModel
from clc.model.syntax.config import PostProcessingConfig, SyntaxConfig
from clc.model.tiles import to_tensor
from clc.model.transforms.convolutional import ConvolutionalSynthesis
from clc.store import Kind, Recipe, Store, Version
from clc.training.objective import Distortion, rate_distortion
from tests.conftest import picture
from tests.miniature import MINIATURE

QUALITY = 80.0
TOO_BRIGHT = 0.08
SYNTAX = SyntaxConfig(numbers=8, part=8, width=8, hidden=16, post=PostProcessingConfig(width=8))


def syntax_config(syntax: SyntaxConfig | None = SYNTAX) -> ModelConfig:
    """The miniature network without references."""
    return MINIATURE.model_copy(update={"conditioning": Conditioning.NONE, "syntax": syntax})


def syntax_model(steps: int = 40) -> CompressionModel:
    """A frozen model whose pictures are too bright. Only its syntax has learned anything: to make them darker."""
    torch.manual_seed(1)
    model = CompressionModel(syntax_config())
    assert model.syntax is not None
    assert isinstance(model.g_s, ConvolutionalSynthesis)
    stem = model.g_s.layers[-2]
    assert isinstance(stem, torch.nn.Conv2d)
    assert stem.bias is not None
    stem.bias.data += TOO_BRIGHT
    model.requires_grad_(False)
    model.syntax.requires_grad_(True)
    crops = torch.cat([to_tensor(picture(seed, 64, 64)[None]) for seed in range(6)])
    optimiser = torch.optim.Adam(model.syntax.parameters(), lr=3e-3)
    model.train()
    for _ in range(steps):
        loss = rate_distortion(model(crops, None, QUALITY), crops, QUALITY, Distortion.MSE)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    model.freeze([CalibrationCrop(crops[:1], None, quality) for quality in (1.0, QUALITY, 100.0)])
    return model


def write_syntax_model(store: Store) -> Version:
    """`syntax_model` as a version."""
    with store.draft(Kind.MODEL, Recipe(stage="made", stage_version=1, config={})) as draft:
        write_model(draft, syntax_model())
        return draft.publish()


def without_syntax(model: CompressionModel) -> CompressionModel:
    """The same weights in a model that has no syntax."""
    plain = CompressionModel(syntax_config(None))
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("syntax.")}
    plain.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    plain.restore(model.hyper_tables, model.latent_tables)
    return plain
