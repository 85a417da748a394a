"""Measured with a say in what is searched: what is not asked for stays as it is, and every file decodes as ever."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clc.codec.bitstream import Bitstream
from clc.codec.codec import Codec
from clc.codec.safety.net import Candidate
from clc.errors import ProfileError
from clc.evaluation.codecs.builtin import Clc
from clc.evaluation.codecs.online import Online
from clc.evaluation.measure.evaluate import EvaluationConfig, Subject, evaluate
from clc.images import open_source
from clc.store import Store
from tests.codec.syntax_models import syntax_model
from tests.conftest import World, picture

pytestmark = pytest.mark.usefixtures("network_only")
QUALITY = 80.0


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(syntax_model(), "5e" * 8)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return picture(4, 96, 112)


def cost(codec: Codec, image: NDArray[np.uint8], data: bytes) -> float:
    net = codec.encoder.analyse(image, references=False).net
    return net.cost(Candidate(Bitstream.from_bytes(data), codec.decompress(data)))


@pytest.mark.parametrize("online", Online)
def test_each_search_costs_no_more_than_none(codec: Codec, image: NDArray[np.uint8], online: Online) -> None:
    plain = Clc(codec, references=False).encode(image, QUALITY)
    searching = Clc(codec, references=False, online=(online, 2))
    found = searching.encode(image, QUALITY)
    assert searching.name == "clc, no references"
    assert cost(codec, image, found) <= cost(codec, image, plain)
    if online is Online.SYNTAX:
        assert Bitstream.from_bytes(found).latent == Bitstream.from_bytes(plain).latent
    else:
        assert found != plain


def test_post_processing_is_what_is_measured_if_it_is_asked_for(codec: Codec, image: NDArray[np.uint8]) -> None:
    plain, processing = Clc(codec, references=False), Clc(codec, references=False, post=True)
    data = plain.encode(image, QUALITY)
    assert processing.encode(image, QUALITY) == data
    assert np.array_equal(processing.decode(data), codec.decompress(data, post=True))
    assert not np.array_equal(processing.decode(data), plain.decode(data))


def test_recipes_of_what_is_not_searched_are_as_they_were() -> None:
    new = {"efforts", "post", "online", "online_effort"}
    assert EvaluationConfig().identity == EvaluationConfig().model_dump(mode="json", exclude=new)
    assert EvaluationConfig(online=Online.SYNTAX).identity["online_effort"] == 3
    assert EvaluationConfig(post=True).identity["post"] is True


def test_an_online_search_with_a_dictionary_is_refused(world: World, tmp_path) -> None:
    def never() -> tuple[Codec, object]:
        raise AssertionError("nothing is opened for it")

    with pytest.raises(ProfileError, match="leave the dictionary out"):
        evaluate(
            store=Store(str(tmp_path)),
            photos=open_source(f"folder:{world.test_photos}"),
            subject=Subject(world.model.short_id, world.dictionary.short_id, never),  # type: ignore[arg-type]
            inputs={},
            config=EvaluationConfig(online=Online.LATENTS),
            seen=[],
        )
