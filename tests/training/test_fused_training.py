"""Training a network that fuses: all references are views, some of them coded, however the batches are drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clc.codec.artifacts import open_codec
from clc.codec.bitstream import Bitstream
from clc.errors import ProfileError, TrainingError
from clc.images import open_source, read_photos
from clc.model.conditioning.fusion import FusionConfig
from clc.model.config import Conditioning
from clc.runtime.profile_file import validated
from clc.training.config import Drawing, Optimiser, Part, TrainingConfig
from clc.training.data.coded_views import coded_views
from clc.training.data.reference_pool import ReferencePool
from clc.training.job import AdaptedPreset
from clc.training.loop import Trainer
from clc.training.train import train
from tests.conftest import World
from tests.miniature import MINIATURE, NAME
from tests.training.test_job import job
from tests.training.test_training import CONFIG, new_trainer

FUSED = CONFIG.model_copy(
    update={"unconditioned_share": 0.0, "coded_share": 0.5, "related_share": 0.3, "pattern_share": 0.0, "steps": 3}
)


def fused_trainer(world: World, folder: Path, **changes: object) -> Trainer:
    network = MINIATURE.model_copy(
        update={"conditioning": Conditioning.FUSED, "fusion": FusionConfig(hidden=(8, 8, 8))}
    )
    return new_trainer(world, folder, FUSED.model_copy(update=changes), network)


@pytest.mark.medium
@pytest.mark.parametrize("drawing", list(Drawing))
def test_every_reference_is_a_view(world: World, tmp_path: Path, drawing: Drawing) -> None:
    trainer = fused_trainer(world, tmp_path, drawing=drawing, quality_per_crop=True)
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, parameter in trainer.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {f"fuse_{end}.{scale}.conv2.weight" for end in "as" for scale in range(3)} <= moved


@pytest.mark.medium
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


@pytest.mark.medium
@pytest.mark.parametrize("drawing", list(Drawing))
def test_training_fusions_alone_leaves_all_else_as_it_is_to_the_bit(
    world: World, tmp_path: Path, drawing: Drawing
) -> None:
    trainer = fused_trainer(
        world, tmp_path, part=Part.FUSION, average=0.9, optimiser=Optimiser.MUON, steps=5, drawing=drawing
    )
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train()
    moved = {name for name, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == {"fuse_a", "fuse_s"}
    assert {f"fuse_{end}.{scale}.conv2.weight" for end in "as" for scale in range(3)} <= moved


@pytest.mark.medium
def test_latents_of_the_dictionary_are_made_once_where_g_a_does_not_learn(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    refresh = ReferencePool.refresh
    monkeypatch.setattr(ReferencePool, "refresh", lambda *given: made.append(0) or refresh(*given))  # type: ignore[func-returns-value]
    fused_trainer(world, tmp_path / "fusions", part=Part.FUSION, refresh_every=1).train()
    assert len(made) == 1
    fused_trainer(world, tmp_path / "all", refresh_every=1).train()
    assert len(made) == 1 + 1 + 3


@pytest.mark.medium
def test_a_model_whose_fusions_learned_codes_without_references_as_its_start_does(world: World, tmp_path: Path) -> None:
    def network(conditioning: Conditioning) -> AdaptedPreset:
        return AdaptedPreset(preset=NAME, conditioning=conditioning)

    start = train(job(world, network=network(Conditioning.PRIOR)), store=world.store, runs=tmp_path).version
    config = FUSED.model_copy(update={"part": Part.FUSION, "held_out": 1})
    fused = train(
        job(world, network=network(Conditioning.FUSED), config=config, start=start), store=world.store, runs=tmp_path
    ).version
    before, after = start.tensors("weights"), fused.tensors("weights")
    added = after.keys() - before.keys()
    assert {name.split(".")[0] for name in added} == {"fuse_a", "fuse_s"}
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert all(np.array_equal(start.tensors("tables")[name], table) for name, table in fused.tensors("tables").items())
    photo = next(read_photos(open_source(f"folder:{world.photos}"), [])).pixels
    files = [
        Bitstream.from_bytes(open_codec(world.store, each).compress(photo, quality=40, references=False))
        for each in (start, fused)
    ]
    assert files[0].hyper == files[1].hyper
    assert files[0].latent == files[1].latent
    assert files[0].latent_checksum == files[1].latent_checksum
    rows = fused.table("validation").to_pylist()
    assert rows
    assert all(row["related_bpp"] > 0 and row["related_psnr"] > 0 for row in rows)


def test_fusions_learn_from_batches_with_references_alone() -> None:
    with pytest.raises(ProfileError, match="part fusion learns from batches with references"):
        validated(TrainingConfig, {"steps": 1, "part": "fusion"}, "training")


def test_fusions_alone_need_a_start_and_a_network_that_fuses(world: World) -> None:
    config = CONFIG.model_copy(update={"part": Part.FUSION, "unconditioned_share": 0.0})
    fuses = AdaptedPreset(preset=NAME, conditioning=Conditioning.FUSED)
    for given in ({"network": fuses}, {"start": world.model}):
        with pytest.raises(TrainingError, match="fusions alone needs a model to start from"):
            job(world, config=config, **given).check()
