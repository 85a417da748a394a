import numpy as np
import pytest

from clc.errors import OverlapError
from clc.images.patch import pixels_sha256


def test_the_hash_of_a_photo_covers_its_shape():
    pixels = np.arange(24, dtype=np.uint8)

    assert pixels_sha256(pixels.reshape(2, 4, 3)) != pixels_sha256(pixels.reshape(4, 2, 3))


def test_a_photo_that_was_used_before_is_refused_by_name(run, store, photos_of, picture):
    photos = photos_of({"new": picture(0), "seen": picture(1)})
    forbidden = {pixels_sha256(picture(1)): "photo 'garden' of the dictionary"}

    with pytest.raises(OverlapError, match="'seen' is the same as photo 'garden' of the dictionary"):
        run(store, photos, forbidden=forbidden)


def test_a_refused_evaluation_measures_nothing(run, store, photos_of, picture, patch_of):
    class Unused:
        latents = retriever = None
        model_id = "e" * 16

    with pytest.raises(OverlapError):  # any use of the codec would be an AttributeError
        run(store, photos_of({"seen": picture(1)}), codec=Unused(), forbidden={pixels_sha256(picture(1)): "training"})


def test_an_earlier_result_does_not_stand_in_for_the_check(run, store, photos_of, picture):
    photos = photos_of({"seen": picture(1)})
    run(store, photos)

    with pytest.raises(OverlapError):
        run(store, photos, forbidden={pixels_sha256(picture(1)): "training"})
