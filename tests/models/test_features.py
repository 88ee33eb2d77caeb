import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.features import PersonaFeatures, likeness, similarities
from pixelpersona.models.persona_net import WEIGHTS_FILE, PersonaNet, save_persona_net


@pytest.fixture(scope="module")
def extractor() -> PersonaFeatures:
    return PersonaFeatures()


@pytest.fixture(scope="module")
def portraits() -> np.ndarray:
    """Sixteen of the packaged portraits, uint8 [16, 128, 128, 3]."""
    files = sorted(asset("portraits").glob("*.webp"))[:16]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


def blocks(pictures: np.ndarray, cell: int = 4) -> np.ndarray:
    small = pictures[:, cell // 2 :: cell, cell // 2 :: cell]
    return np.asarray((small // 43 * 51).repeat(cell, axis=1).repeat(cell, axis=2))


def blurred(pictures: np.ndarray, radius: float) -> np.ndarray:
    soft = [Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius)) for p in pictures]
    return np.stack([np.asarray(picture) for picture in soft])


def test_shapes_and_dtypes(extractor: PersonaFeatures, portraits: np.ndarray) -> None:
    texture, embedding = extractor.views(portraits[:2])
    assert texture.shape == (2, 118)
    assert embedding.shape == (2, 128)
    assert texture.dtype == embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    personas = extractor.personas(portraits[:2])
    assert personas.age.shape == (2,)
    assert personas.gender.shape == (2, 2)
    assert personas.ethnicity.shape == (2, 4)
    assert ((personas.age >= 0) & (personas.age < 110)).all()


def test_features_do_not_depend_on_the_batch(extractor: PersonaFeatures, portraits: np.ndarray) -> None:
    for view in (extractor.features, extractor.likeness_features):
        assert torch.equal(view(portraits[:3])[1:2], view(portraits[1:2]))
    assert torch.equal(
        extractor.personas(portraits[:3]).gender[2:], extractor.personas(portraits[2:3]).gender
    )


def test_views_equals_the_separate_calls(extractor: PersonaFeatures, portraits: np.ndarray) -> None:
    texture, embedding = extractor.views(portraits[:2])
    assert torch.equal(texture, extractor.features(portraits[:2]))
    assert torch.equal(embedding, extractor.likeness_features(portraits[:2]))


def test_the_last_features_are_the_moments_of_the_colours(
    extractor: PersonaFeatures, portraits: np.ndarray
) -> None:
    colors = torch.from_numpy(portraits[:2]).reshape(2, -1, 3).double() / 127.5 - 1
    expected = torch.cat([colors.mean(dim=1), colors.std(dim=1)], dim=1).float()
    torch.testing.assert_close(extractor.features(portraits[:2])[:, -6:], expected, rtol=1e-4, atol=1e-5)


def test_only_likeness_features_depend_on_position(extractor: PersonaFeatures, portraits: np.ndarray) -> None:
    small = portraits[:2, 1::2, 1::2]
    canvases = np.full((2, 2, 128, 128, 3), 128, np.uint8)
    canvases[0, :, 8:72, 8:72] = small
    canvases[1, :, 48:112, 52:116] = small
    texture, embedding = zip(*(extractor.views(pictures) for pictures in canvases), strict=True)
    torch.testing.assert_close(texture[0], texture[1], atol=0.1, rtol=0.05)
    assert ((embedding[0] * embedding[1]).sum(dim=1) < 0.7).all()


def test_style_changes_features_more_than_the_person_does(
    extractor: PersonaFeatures, portraits: np.ndarray
) -> None:
    first, second = portraits[:8], portraits[8:]
    means = [extractor.features(p)[:, :-6].mean(dim=0) for p in (first, blocks(first), blocks(second))]
    style, people = (means[0] - means[1]).norm(), (means[1] - means[2]).norm()
    assert style > 3 * people


def test_pixel_art_is_most_similar_to_its_own_photo(
    extractor: PersonaFeatures, portraits: np.ndarray
) -> None:
    alike = similarities(
        extractor.likeness_features(portraits), extractor.likeness_features(blocks(portraits))
    )
    assert alike.argmax(dim=1).tolist() == list(range(len(portraits)))


def test_likeness_decreases_with_blur_noise_and_another_person(
    extractor: PersonaFeatures, portraits: np.ndarray
) -> None:
    photos = extractor.likeness_features(portraits)
    noise = np.random.default_rng(0).normal(0, 96, portraits.shape)
    noisy = np.clip(portraits + noise, 0, 255).astype(np.uint8)

    def mean(changed: np.ndarray) -> float:
        return float(likeness(photos, extractor.likeness_features(changed)).mean())

    blur, strong_blur = mean(blurred(portraits, 2)), mean(blurred(portraits, 8))
    wrong = float(likeness(photos, photos.roll(1, dims=0)).mean())
    assert 1 > blur > mean(noisy) > wrong + 0.1
    assert blur > strong_blur + 0.05 > wrong


def test_likeness_features_do_not_depend_on_the_size(
    extractor: PersonaFeatures, portraits: np.ndarray
) -> None:
    larger = portraits.repeat(2, axis=1).repeat(2, axis=2)
    torch.testing.assert_close(
        extractor.likeness_features(larger), extractor.likeness_features(portraits), atol=0.1, rtol=0
    )


def test_the_digest_covers_the_weights(extractor: PersonaFeatures, tmp_path: Path) -> None:
    assert len(extractor.sha256) == 64
    assert PersonaFeatures().sha256 == extractor.sha256
    shutil.copy(asset("persona") / WEIGHTS_FILE, tmp_path)
    assert PersonaFeatures(tmp_path).sha256 == extractor.sha256
    torch.manual_seed(0)
    save_persona_net(PersonaNet(), tmp_path)
    assert PersonaFeatures(tmp_path).sha256 != extractor.sha256


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.zeros((2, 64, 64, 3), np.float32), "float32"),
        (np.zeros((64, 64, 3), np.uint8), "accepted uint8"),
        (np.zeros((1, 64, 64, 4), np.uint8), "accepted uint8"),
        (np.zeros((0, 64, 64, 3), np.uint8), "B 1 or more"),
        (np.zeros((1, 64, 48, 3), np.uint8), "48x64; accepted squares"),
        (np.zeros((1, 8, 8, 3), np.uint8), "8x8; accepted squares of 16"),
    ],
)
def test_wrong_input_is_refused(extractor: PersonaFeatures, images: np.ndarray, reason: str) -> None:
    for view in (extractor.features, extractor.likeness_features, extractor.views, extractor.personas):
        with pytest.raises(ValueError, match=reason):
            view(images)


def test_likeness_is_the_cosine_after_centring_on_the_photos() -> None:
    generator = np.random.default_rng(0)
    photos, portraits = generator.normal(5, 1, (4, 7)), generator.normal(5, 1, (4, 7))
    center = photos.mean(axis=0)
    for i, value in enumerate(likeness(torch.from_numpy(photos), torch.from_numpy(portraits)).tolist()):
        p, q = photos[i] - center, portraits[i] - center
        assert value == pytest.approx(p @ q / np.sqrt((p @ p) * (q @ q)), abs=1e-12)


def test_likeness_to_itself_is_one_and_independent_of_other_portraits() -> None:
    photos = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(likeness(photos, photos), torch.ones(5, dtype=torch.float64))
    portraits = photos + 1.0
    alone = similarities(photos, portraits[:1])
    torch.testing.assert_close(alone, similarities(photos, portraits)[:1])


def test_likeness_refuses_too_few_photos_and_unequal_shapes() -> None:
    with pytest.raises(ValueError, match="at least 2 photos"):
        likeness(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="one portrait per photo"):
        likeness(torch.ones(3, 3), torch.ones(2, 3))
