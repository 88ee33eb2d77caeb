"""Altered photos, retrieval by likeness, and retrieval by layout."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from pixelpersona.evaluation.fidelity import altered_photo, layout_similarities, top1
from pixelpersona.pixel.framing import face_part, face_weight, framed_face_weight


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(astronaut()[:256, 96:352]).resize((64, 64))


def test_alteration_depends_on_photo_and_id_alone(photo: Image.Image) -> None:
    before = photo.tobytes()
    first = altered_photo(photo, "a")
    assert first.size == photo.size
    assert first.tobytes() == altered_photo(photo, "a").tobytes()
    assert first.tobytes() != altered_photo(photo, "b").tobytes()
    assert photo.tobytes() == before


def test_background_is_one_colour_and_the_face_stays_visible(photo: Image.Image) -> None:
    altered = np.asarray(altered_photo(photo, "a"))
    outside = altered[face_weight(64, 64, np.ones(2)) == 0]
    assert len(outside) > 64 * 64 * 0.1
    assert (outside == outside[0]).all()
    middle = (slice(16, 48), slice(16, 48))
    kept = np.corrcoef(altered[middle].ravel(), np.asarray(photo)[middle].ravel())[0, 1]
    assert 0.5 < kept < 0.999


def test_of_a_portrait_all_but_the_face_is_replaced(photo: Image.Image) -> None:
    altered = np.asarray(altered_photo(photo, "a", "portrait"))
    outside = altered[framed_face_weight(64, 64, "portrait") == 0]
    assert len(outside) > 64 * 64 * 0.5
    assert (outside == outside[0]).all()
    assert (altered[20:50, 28:36] != outside[0]).any()


def test_alterations_stay_inside_their_ranges() -> None:
    # Crop, contrast and saturation do not change a grey photo, so only brightness times channel tint remain:
    # at most 1.3 * 1.2 and at least 0.7 * 0.8.
    grey = Image.new("RGB", (32, 32), (100, 100, 100))
    colors = np.array([np.asarray(altered_photo(grey, str(i)))[16, 16] for i in range(60)])
    assert colors.min() >= 100 * 0.7 * 0.8 - 2
    assert colors.max() <= 100 * 1.3 * 1.2 + 2
    assert colors.max() - colors.min() > 40


def test_top1_counts_own_photos_only_when_they_are_the_most_similar() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.0, 0.7, 0.7]])
    assert top1(similarity) == [1.0, 0.0, 0.0]


def test_layout_finds_the_photo_of_colour_blobs() -> None:
    rng = np.random.default_rng(0)
    blobs = [
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((64, 64)) for _ in range(5)
    ]
    assert top1(layout_similarities(blobs, blobs)) == [1.0] * 5
    rotated = blobs[1:] + blobs[:1]
    assert top1(layout_similarities(blobs, rotated)) == [0.0] * 5


def test_layout_ignores_the_corners() -> None:
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)) for _ in range(3)]
    changed = photos[0].copy()
    changed.paste((255, 0, 0), (0, 0, 4, 4))
    expected = layout_similarities(photos, photos[:1])
    torch.testing.assert_close(layout_similarities(photos, [changed]), expected)


def test_the_layout_of_a_portrait_is_that_of_its_face() -> None:
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)) for _ in range(3)]
    faces = [photo.crop(face_part(48, 48, "portrait")) for photo in photos]
    torch.testing.assert_close(
        layout_similarities(photos, photos[:1], "portrait"), layout_similarities(faces, faces[:1])
    )
