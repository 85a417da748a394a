"""Training a network that fuses: all references are views, some of them coded, however the batches are drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clc.model.conditioning.fusion import FusionConfig
from clc.model.config import Conditioning
from clc.training.config import Drawing, Part
from clc.training.data.coded_views import coded_views
from clc.training.loop import Trainer
from tests.conftest import World
from tests.miniature import MINIATURE
from tests.training.test_training import CONFIG, new_trainer

FUSED = CONFIG.model_copy(
    update={"unconditioned_share": 0.0, "coded_share": 0.5, "related_share": 0.3, "pattern_share": 0.0, "steps": 3}
)


def fused_trainer(world: World, folder: Path, **changes: object) -> Trainer:
    network = MINIATURE.model_copy(
        update={"conditioning": Conditioning.FUSED, "fusion": FusionConfig(hidden=(8, 8, 8))}
    )
    return new_trainer(world, folder, FUSED.model_copy(update=changes), network)


@pytest.mark.parametrize("drawing", list(Drawing))
def test_every_reference_is_a_view(world: World, tmp_path: Path, drawing: Drawing) -> None:
    trainer = fused_trainer(world, tmp_path, drawing=drawing, quality_per_crop=True)
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, parameter in trainer.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {f"fuse_{end}.{scale}.conv2.weight" for end in "as" for scale in range(3)} <= moved


def test_the_conditioned_part_is_the_prior_and_the_fusions(world: World, tmp_path: Path) -> None:
    trainer = fused_trainer(world, tmp_path, part=Part.CONDITIONED, average=0.0)
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, parameter in trainer.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split(".")[0] for name in moved} == {"prior", "fuse_a", "fuse_s"}
    assert not [name for name in moved if name.startswith("prior.plain")]


def test_a_share_of_the_views_is_coded_by_the_model_as_it_is(world: World, tmp_path: Path) -> None:
    model = fused_trainer(world, tmp_path).model.train()
    views = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 256, 256, 3), dtype=np.uint8))
    torch.manual_seed(1)
    coded = coded_views(model, views, 0.5)
    changed = [not torch.equal(one, other) for one, other in zip(coded, views, strict=True)]
    assert 2 <= sum(changed) <= 10
    assert model.training
    assert torch.equal(coded_views(model, views, 0.0), views)
