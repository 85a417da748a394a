import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clc.errors import OverlapError
from clc.evaluation.measure.overlap import refuse_overlap
from clc.images.hashes import NEAR_DUPLICATE_BITS, differing_bits, perceptual_hash
from clc.images.patch import pixels_sha256
from clc.images.provenance import PhotoIdentity, identity_table, read_identities
from tests.conftest import picture as photo_like


def seen(image_id: str, pixels: NDArray[np.uint8]) -> PhotoIdentity:
    return PhotoIdentity(image_id, pixels_sha256(pixels), perceptual_hash(pixels), "the dictionary")


def encoded_again(pixels: NDArray[np.uint8], *, scale: float = 1.0) -> NDArray[np.uint8]:
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale))).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_the_hash_of_a_photo_covers_its_shape():
    pixels = np.arange(24, dtype=np.uint8)

    assert pixels_sha256(pixels.reshape(2, 4, 3)) != pixels_sha256(pixels.reshape(4, 2, 3))


def test_encoding_again_or_scaling_changes_few_bits_of_the_perceptual_hash_and_another_photo_many():
    original = [perceptual_hash(photo_like(0))]
    same = [perceptual_hash(encoded_again(photo_like(0), scale=scale)) for scale in (1.0, 0.6)]

    assert differing_bits(original, same).max() <= NEAR_DUPLICATE_BITS
    assert differing_bits(original, [perceptual_hash(photo_like(1))])[0, 0] > 3 * NEAR_DUPLICATE_BITS


def test_bits_are_counted():
    assert differing_bits([bytes(32)], [bytes(32), bytes(31) + b"\x05", b"\xff" * 32]).tolist() == [[0, 2, 256]]


def test_a_photo_that_was_used_before_is_refused_by_name(run, store, photos_of, picture):
    photos = photos_of({"new": picture(0), "seen": picture(1)})

    with pytest.raises(OverlapError, match="'seen' is the same as photo 'garden' of the dictionary"):
        run(store, photos, seen=[seen("garden", picture(1))])


@pytest.mark.medium
def test_a_photo_that_was_encoded_again_is_refused_unless_that_is_allowed(run, store, photos_of, config):
    photos = photos_of({"copy": encoded_again(photo_like(1))})
    garden = seen("garden", photo_like(1))

    with pytest.raises(OverlapError, match="'copy' is a near duplicate of photo 'garden'"):
        run(store, photos, seen=[garden])
    allowed = config.model_copy(update={"allow_near_duplicates": True})
    assert run(store, photos, seen=[garden], config=allowed).version


def test_a_refused_evaluation_measures_nothing(run, store, photos_of, picture, patch_of):
    class Unused:
        latents = retriever = None
        model_id = "e" * 16

    with pytest.raises(OverlapError):  # any use of the codec would be an AttributeError
        run(store, photos_of({"seen": picture(1)}), codec=Unused(), seen=[seen("same", picture(1))])


def test_an_earlier_result_does_not_stand_in_for_the_check(run, store, photos_of, picture):
    photos = photos_of({"seen": picture(1)})
    run(store, photos)

    with pytest.raises(OverlapError):
        run(store, photos, seen=[seen("same", picture(1))])


def test_several_photos_that_overlap_are_counted(photos_of, picture):
    photos = photos_of({"a": picture(0), "b": picture(1)})

    with pytest.raises(OverlapError, match="1 more photos overlap"):
        refuse_overlap(photos, [seen("x", picture(0)), seen("y", picture(1))])


def test_what_was_seen_comes_back_from_its_table_each_photo_once(picture):
    photos = [seen(name, picture(number)) for name, number in (("a", 0), ("b", 1), ("again", 0))]

    table = identity_table(photos)

    assert len(table) == 2
    assert {photo.photo_sha256 for photo in read_identities(table, "the dictionary")} == {
        p.photo_sha256 for p in photos
    }
