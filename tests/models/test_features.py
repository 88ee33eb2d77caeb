import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from pixelpersona.models.features import AutoencoderFeatures, likeness, similarities


def small_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
        scaling_factor=0.5,
        mid_block_add_attention=False,
    ).eval()


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return small_vae()


@pytest.fixture(scope="module")
def extractor(vae: AutoencoderKL) -> AutoencoderFeatures:
    return AutoencoderFeatures(vae, "ab" * 32)


def pictures(num: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, uint8 [num, 64, 64, 3]."""
    coarse = torch.rand(num, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=64, mode="bicubic").clamp(0, 1)
    return (fine * 255).byte().permute(0, 2, 3, 1).numpy().copy()


def test_widths_and_types(extractor: AutoencoderFeatures) -> None:
    images = pictures(2)
    features = extractor.features(images)
    assert features.shape == (2, extractor.num_features)
    assert features.dtype == torch.float32
    # conv_in, two of three down blocks, middle, latents, twice; then the latents' moments.
    assert extractor.num_features == 2 * (8 + 8 + 16 + 16 + 4) + 2 * 4
    assert extractor.layout_features(images).shape == (2, 16 * 16 * (8 + 16 + 16 + 16))


def test_last_features_are_the_moments_of_the_scaled_latents(
    vae: AutoencoderKL, extractor: AutoencoderFeatures
) -> None:
    images = pictures(3)
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = vae.encode(pixels).latent_dist.mean * 0.5
    expected = torch.cat([latents.mean(dim=(2, 3)), latents.std(dim=(2, 3))], dim=1)
    torch.testing.assert_close(extractor.features(images)[:, -8:], expected, rtol=1e-4, atol=1e-5)


def test_a_picture_has_the_same_features_in_any_batch(extractor: AutoencoderFeatures) -> None:
    images = pictures(3)
    for view in (extractor.features, extractor.layout_features):
        assert torch.equal(view(images)[1:2], view(images[1:2]))


def test_both_views_at_once_are_the_views(extractor: AutoencoderFeatures) -> None:
    images = pictures(2)
    surface, layout = extractor.views(images)
    assert torch.equal(surface, extractor.features(images))
    assert torch.equal(layout, extractor.layout_features(images))


def test_surface_features_have_no_position(extractor: AutoencoderFeatures) -> None:
    images = pictures(1)
    moved = np.roll(images, 32, axis=2)
    surface, layout = (
        float(torch.nn.functional.cosine_similarity(view(images), view(moved)))
        for view in (extractor.features, extractor.layout_features)
    )
    assert surface > 0.99
    assert layout < 0.5


def test_blocks_are_far_from_smooth_pictures_and_near_each_other(extractor: AutoencoderFeatures) -> None:
    smooth, other = pictures(6, seed=1), pictures(6, seed=2)
    blocks, other_blocks = (p[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2) for p in (smooth, other))
    means = [extractor.features(p)[:, :-8].mean(dim=0) for p in (smooth, blocks, other_blocks)]
    style, people = (means[0] - means[1]).norm(), (means[1] - means[2]).norm()
    assert style > 2 * people


def test_layout_features_do_not_see_the_corners(extractor: AutoencoderFeatures) -> None:
    images = pictures(1)
    changed = images.copy()
    changed[:, :3, :3] = 255 - changed[:, :3, :3]
    centre = images.copy()
    centre[:, 30:33, 30:33] = 255 - centre[:, 30:33, 30:33]
    own = extractor.layout_features(images)
    assert (extractor.layout_features(centre) - own).norm() > 5 * (
        extractor.layout_features(changed) - own
    ).norm()


def test_layout_features_are_zero_outside_the_face(extractor: AutoencoderFeatures) -> None:
    maps = extractor.layout_features(pictures(1)).reshape(-1, 16, 16)
    assert not maps[:, 0, 0].any()
    assert maps[:, 8, 8].any()


def test_hash_covers_the_weights(vae: AutoencoderKL, extractor: AutoencoderFeatures) -> None:
    assert AutoencoderFeatures(vae, "ab" * 32).sha256 == extractor.sha256
    assert AutoencoderFeatures(vae, "cd" * 32).sha256 != extractor.sha256
    assert len(extractor.sha256) == 64


def test_half_precision_weights_are_copied_and_computed_in_float32() -> None:
    half = small_vae().to(torch.bfloat16)
    extractor = AutoencoderFeatures(half, "x")
    assert half.dtype == torch.bfloat16
    assert extractor.features(pictures(1)).dtype == torch.float32


def test_likeness_is_the_cosine_after_centring_on_the_photos() -> None:
    generator = np.random.default_rng(0)
    photos, portraits = generator.normal(5, 1, (4, 7)), generator.normal(5, 1, (4, 7))
    center = photos.mean(axis=0)
    for i, value in enumerate(likeness(torch.from_numpy(photos), torch.from_numpy(portraits)).tolist()):
        p, q = photos[i] - center, portraits[i] - center
        assert value == pytest.approx(p @ q / np.sqrt((p @ p) * (q @ q)), abs=1e-12)


def test_likeness_of_a_photo_to_itself_is_one_and_does_not_depend_on_other_portraits() -> None:
    photos = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(likeness(photos, photos), torch.ones(5, dtype=torch.float64))
    portraits = photos + 1.0
    alone = similarities(photos, portraits[:1])
    torch.testing.assert_close(alone, similarities(photos, portraits)[:1])


def test_likeness_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(ValueError, match="at least 2 photos"):
        likeness(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="one portrait per photo"):
        likeness(torch.ones(3, 3), torch.ones(2, 3))
