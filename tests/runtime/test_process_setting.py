"""Settings of the whole process, changed for a while by several threads."""

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image, ImageFile

from clc.images.decode import decode
from clc.images.jpeg import jpeg_file
from clc.runtime.process_setting import ProcessSetting


def test_it_stays_changed_until_the_last_thread_is_out() -> None:
    value, seen = ["before"], []

    @contextmanager
    def changed() -> Iterator[None]:
        before, value[0] = value[0], "changed"
        yield
        value[0] = before

    setting, second_is_in, first_is_out = ProcessSetting(changed), threading.Event(), threading.Event()

    def second() -> None:
        with setting:
            second_is_in.set()
            first_is_out.wait(10)
            seen.append(value[0])

    thread = threading.Thread(target=second)
    with setting:
        thread.start()
        assert second_is_in.wait(10)
    first_is_out.set()
    thread.join()
    assert seen == ["changed"]
    assert value == ["before"]


def test_an_error_inside_brings_it_back_too() -> None:
    value = ["before"]

    @contextmanager
    def changed() -> Iterator[None]:
        value[0] = "changed"
        try:
            yield
        finally:
            value[0] = "before"

    with pytest.raises(ZeroDivisionError), ProcessSetting(changed):
        raise ZeroDivisionError
    assert value == ["before"]


def test_photos_read_and_written_side_by_side_leave_pillow_and_the_filters_of_warnings_as_they_were() -> None:
    sizes = [16, 300, 64, 500] * 8
    before = ImageFile.MAXBLOCK, Image.MAX_IMAGE_PIXELS, list(warnings.filters)

    def write_and_read(size: int) -> None:
        image = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
        assert decode(jpeg_file(image, 95), name="noise").shape == image.shape

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_read, sizes))
    assert (ImageFile.MAXBLOCK, Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
