"""A model with dynamic transforms is trained, stored, and read by a decoder that never saw what it decodes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clc.codec.artifacts import read_config, read_model
from clc.codec.bitstream import describe
from clc.codec.codec import Codec
from clc.codec.coded_image import CodedImage
from clc.codec.references.artifact import ReferencesConfig, references_or_latents
from clc.codec.safety.net import Candidate
from clc.dictionary.retrieval.open_encoder import open_encoder
from clc.errors import ProfileError
from clc.images import open_source
from clc.model.config import Conditioning
from clc.model.transforms.aggregation import DynamicAggregation
from clc.runtime.profile_file import validated
from clc.store import Kind, Version
from clc.training.config import TrainingConfig
from clc.training.job import AdaptedPreset, TrainingJob
from clc.training.train import train
from tests.conftest import World, picture
from tests.miniature import MINIATURE, NAME

DYNAMIC = {
    "kind": "dynamic",
    "widths": [24, 48, 64],
    "hidden": [16, 16, 24],
    "groups": [2, 4, 3],
    "blocks": [1, 1, 1],
    "hyper_hidden": 16,
    "hyper_groups": 2,
    "hyper_blocks": 1,
    "latent_channels": 64,
}
STAGES = [4, 2, 1]
PICTURES = {
    "pixel": picture(0)[:1, :1],
    "row": picture(1)[:1, :70],
    "photo": picture(2, 130, 200),
    "one colour": np.full((66, 40, 3), (12, 200, 40), dtype=np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8),
}
DECODE = """
import sys
from pathlib import Path
import torch
from clc.store_decoder import StoreDecoder
from clc.store import Store
decoder = StoreDecoder(Store(sys.argv[1]))
for path in Path(sys.argv[2]).glob("*.clc"):
    for threads in (1, 2):
        torch.set_num_threads(threads)
        decoder.decompress(path.read_bytes()).save(path.with_name(f"{path.stem}-{threads}.png"))
"""

pytestmark = [pytest.mark.usefixtures("network_only"), pytest.mark.medium]


@pytest.fixture(scope="module")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Version:
    network = AdaptedPreset(preset=NAME, conditioning=Conditioning.PRIOR, transform=DYNAMIC, prior={"stages": STAGES})
    job = TrainingJob(
        photos=open_source(f"folder:{world.photos}"),
        network=network,
        config=TrainingConfig(
            steps=10, batch=2, crop=64, refresh_every=3, warm_up=0, average=0.0, unconditioned_share=0.5, held_out=0
        ),
        assignments=world.assignments,
        dictionary=world.dictionary,
    )
    return train(job, store=world.store, runs=tmp_path_factory.mktemp("runs")).version


@pytest.fixture(scope="module")
def latents(world: World, model: Version) -> Version:
    photos = open_source(f"folder:{world.photos}")
    return references_or_latents(world.dictionary, model, photos, config=ReferencesConfig(), store=world.store).version


@pytest.fixture(scope="module")
def codec(world: World, model: Version, latents: Version) -> Codec:
    return open_encoder(world.store, model, world.dictionary)[0]


def test_it_has_learned_where_to_look(model: Version) -> None:
    layers = {name: each for name, each in read_model(model).named_modules() if isinstance(each, DynamicAggregation)}
    assert len(layers) == 3 + 3 + 2 * 2  # g_a, g_s, and h_a of either prior at two resolutions
    still = [name for name, layer in layers.items() if not layer.choose.weight.abs().max() > 0]
    assert still == []


def test_its_references_are_stored_latents(codec: Codec, latents: Version) -> None:
    """Places that the content chooses cannot be computed alike everywhere, so nothing of it is analysed exactly."""
    assert latents.kind is Kind.LATENTS
    described = describe(codec.compress(PICTURES["photo"], quality=50, always=True))
    assert described["references"] == 3
    assert described["scope"] == "tile"


def test_files_are_read_by_another_process(world: World, codec: Codec, tmp_path: Path) -> None:
    cases = [(name, references) for name in PICTURES for references in (True, False)]
    for number, (name, references) in enumerate(cases):
        data = codec.compress(PICTURES[name], quality=60, references=references, always=references)
        Path(tmp_path, f"{number}.clc").write_bytes(data)
    subprocess.run([sys.executable, "-c", DECODE, world.store.url, str(tmp_path)], check=True)
    for number, (name, _) in enumerate(cases):
        here = codec.decompress(Path(tmp_path, f"{number}.clc").read_bytes())
        assert here.shape == PICTURES[name].shape
        for threads in (1, 2):
            there = np.asarray(Image.open(tmp_path / f"{number}-{threads}.png"))
            assert np.abs(there.astype(int) - here).max() <= (0 if threads == torch.get_num_threads() else 1)


def test_the_encoder_sees_the_picture_that_its_decoder_shows(codec: Codec) -> None:
    analysis = codec.encoder.analyse(PICTURES["photo"], references=True)
    for quality in (1.0, 50.0, 100.0):
        coded = codec.encoder.code(analysis, quality)
        assert np.array_equal(codec.decompress(coded.data), coded.picture)


@pytest.mark.parametrize("name", ["pixel", "photo", "one colour"])
def test_effort_finds_what_any_decoder_reads(codec: Codec, world: World, model: Version, name: str) -> None:
    analysis = codec.encoder.analyse(PICTURES[name], references=False)
    plain, refined = (codec.encoder.code(analysis, 50.0, effort=effort) for effort in (0, 2))
    assert analysis.net.cost(candidate(refined)) <= analysis.net.cost(candidate(plain))
    decoder = Codec(read_model(model), model.short_id)
    assert np.array_equal(decoder.decompress(refined.data), refined.picture)


def candidate(coded: CodedImage) -> Candidate:
    return Candidate(coded.stream, coded.picture)


def test_places_far_outside_the_picture_do_no_harm(model: Version) -> None:
    network = read_model(model)
    for layer in network.modules():
        if isinstance(layer, DynamicAggregation):
            layer.choose.bias += 1e6 * torch.randn(layer.choose.bias.shape, generator=torch.Generator().manual_seed(0))
    codec = Codec(network, "5ea5c0de" * 2)
    for pixels in PICTURES.values():
        coded = codec.encoder.code(codec.encoder.analyse(pixels, references=False), 50.0)
        assert coded.picture.shape == pixels.shape
        assert np.array_equal(Codec(network, "5ea5c0de" * 2).decompress(coded.data), coded.picture)


def test_a_profile_changes_single_sizes_of_a_preset_or_the_kind_of_its_transforms(model: Version) -> None:
    stages = validated(AdaptedPreset, {"preset": NAME, "prior": {"stages": STAGES}}, "model").config
    assert stages.transform == MINIATURE.transform
    assert stages.prior == MINIATURE.prior.model_copy(update={"stages": tuple(STAGES)})
    deeper = validated(AdaptedPreset, {"preset": NAME, "transform": {"blocks": [2, 1, 1]}}, "model").config
    assert deeper.transform == MINIATURE.transform.model_copy(update={"blocks": (2, 1, 1)})
    assert read_config(model).transform.kind == "dynamic"
    for wrong in ({"transform": {"kind": "dynamic"}}, {"prior": {"stage": [1]}}, {"transform": {"kind": "wavelet"}}):
        with pytest.raises(ProfileError, match="model"):
            validated(AdaptedPreset, {"preset": NAME, **wrong}, "model")
