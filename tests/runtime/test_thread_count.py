"""How many threads a codec takes."""

import copy
from pathlib import Path

import pytest
import torch

import clc
from clc.errors import ProfileError
from clc.runtime.thread_count import at_most
from clc.store.shipped import LayeredStore
from clc.store_decoder import StoreDecoder
from tests.conftest import picture


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


def test_inside_there_are_no_more_threads_than_were_asked_for() -> None:
    for asked, inside in ((1, 1), (2, 2), (5, 2), (None, 2)):
        with at_most(asked):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 2


def test_a_codec_computes_on_as_many_threads_as_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    codec = clc.load("tiny", store=tmp_path, threads=1)
    opened = codec._open_alone

    def noted(model: str) -> object:
        seen.append(torch.get_num_threads())
        return opened(model)

    monkeypatch.setattr(codec, "_open_alone", noted)
    data = codec.compress(picture(0)[:64, :64], references=False)
    codec.decompress(data)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_side_by_side_no_more_cores_are_taken_than_a_codec_was_told(tmp_path: Path) -> None:
    codec = clc.load("tiny", store=tmp_path, threads=1)
    assert len(set(codec.for_each(lambda own, _: id(own), range(5)))) == 1  # copies, one a thread


def test_a_copy_takes_as_many(tmp_path: Path) -> None:
    assert copy.copy(clc.load("tiny", store=tmp_path, threads=3)).threads == 3
    assert copy.copy(StoreDecoder(LayeredStore(tmp_path), threads=2)).threads == 2


def test_no_threads_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="threads must be at least 1, not 0"):
        clc.load("tiny", store=tmp_path, threads=0)
