"""Crops of aligned photos: the landmarks move with the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelpersona.data.aligned_photos import LandmarkBatch, LandmarkCrop, random_crops
from pixelpersona.data.landmark_batches import LandmarkAugmentation, LandmarkBatches, augmented
from tests.aligned import BACKGROUND, DOTS, dotted_photo

CROP = LandmarkCrop(min_side=0.6, max_side=1.6, max_rotation_rad=0.45, max_shift=0.13, mirror_share=0.5)
NOTHING = LandmarkAugmentation(
    max_log_gamma=0.0,
    max_log_color=0.0,
    grey_share=0.0,
    blur_share=0.0,
    max_noise=0.0,
    box_share=0.0,
    min_box=0.25,
    max_box=0.25,
)
EVERYTHING = LandmarkAugmentation(
    max_log_gamma=0.6,
    max_log_color=0.25,
    grey_share=0.2,
    blur_share=0.3,
    max_noise=0.08,
    box_share=0.3,
    min_box=0.1,
    max_box=0.3,
)


def crops(crop: LandmarkCrop, num: int = 64) -> LandmarkBatch:
    photos = np.stack([dotted_photo()] * num)
    return random_crops(photos, crop, size=64, rng=torch.Generator().manual_seed(0))


def dot_centres(images: Tensor) -> Tensor:
    """Centroids of the dots, [B, 5, 2] as fractions; weights are differences from the background."""
    difference = images - BACKGROUND / 255.0
    dots = torch.tensor(DOTS) / 255.0 - BACKGROUND / 255.0
    along = torch.einsum("bchw,kc->bkhw", difference, dots / dots.norm(dim=1, keepdim=True))
    total = difference.norm(dim=1)[:, None]
    shares = torch.where((along > 0.98 * total) & (total > 0.05), along, 0.0)
    centres = (torch.arange(64) + 0.5) / 64
    mass = shares.sum(dim=(2, 3))
    assert (mass > 0).all()
    x, y = (shares.sum(dim=2) @ centres) / mass, (shares.sum(dim=3) @ centres) / mass
    return torch.stack([x, y], dim=2)


@pytest.mark.parametrize("mirror_share", [0.0, 1.0])
def test_the_landmarks_are_where_the_dots_are(mirror_share: float) -> None:
    """In a mirrored picture, the dot of the left eye is the right one."""
    batch = crops(replace(CROP, mirror_share=mirror_share))
    assert batch.images.shape == (64, 3, 64, 64)
    centres = dot_centres(batch.images)
    if mirror_share:
        centres = centres[:, [1, 0, 2, 4, 3]]
    assert (centres - batch.landmarks).abs().max() < 0.25 / 64
    assert (batch.landmarks[:, 0, 0] < batch.landmarks[:, 1, 0]).all()
    assert (batch.landmarks[:, 3, 0] < batch.landmarks[:, 4, 0]).all()
    assert ((batch.landmarks > 0) & (batch.landmarks < 1)).all()


def test_the_crops_have_the_range_of_the_settings() -> None:
    landmarks = crops(replace(CROP, max_shift=0.0), num=500).landmarks
    eyes = landmarks[:, 1] - landmarks[:, 0]
    sides, angles = 40 / 178 / eyes.norm(dim=1), torch.atan2(eyes[:, 1], eyes[:, 0])
    assert 0.6 <= sides.min() < 0.62 < 1.58 < sides.max() <= 1.6
    assert -0.45 <= angles.min() < -0.43 < 0.43 < angles.max() <= 0.45

    still = replace(CROP, min_side=1.0, max_side=1.0, max_rotation_rad=0.0)
    places = crops(replace(still, mirror_share=0.0), num=500).landmarks
    spread = places.amax(dim=0) - places.amin(dim=0)
    assert (spread <= 0.26 + 1e-6).all()
    assert (spread > 0.25).all()
    fixed = crops(replace(still, max_shift=0.0), num=500)
    assert 0.43 < dot_centres(fixed.images)[:, 0, 0].gt(0.5).float().mean() < 0.57  # the left eye is right


def test_outside_the_photo_its_border_is_repeated() -> None:
    batch = crops(replace(CROP, min_side=1.6))
    corners = batch.images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.full_like(corners, BACKGROUND / 255.0))


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    photos = np.stack([dotted_photo(40 + 8 * number) for number in range(8)])

    def make(seed: int = 0) -> LandmarkBatches:
        return LandmarkBatches(photos, CROP, EVERYTHING, size=64, batch_size=4, seed=seed)

    first, again = make().at(3), make().at(3)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.landmarks, again.landmarks)
    assert first.images.shape == (4, 3, 64, 64)
    assert first.images.dtype == first.landmarks.dtype == torch.float32
    assert first.images.min() >= 0
    assert first.images.max() <= 1
    for other in (make().at(4), make(seed=1).at(3)):
        assert not torch.equal(first.images, other.images)
        assert not torch.equal(first.landmarks, other.landmarks)


def test_each_change_can_be_switched_off() -> None:
    images = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def changed(settings: LandmarkAugmentation) -> Tensor:
        return augmented(images, settings, torch.Generator().manual_seed(1))

    torch.testing.assert_close(changed(NOTHING), images)
    grey = changed(replace(NOTHING, grey_share=0.2))
    assert 0.13 < (grey.amax(dim=1) - grey.amin(dim=1)).amax(dim=(1, 2)).lt(1e-6).float().mean() < 0.27
    boxed = changed(replace(NOTHING, box_share=0.3))
    num_hidden = (boxed != images).any(dim=1).sum(dim=(1, 2))
    assert set(num_hidden.tolist()) == {0, 16}  # a quarter of each side
    assert 0.22 < num_hidden.gt(0).float().mean() < 0.38
    blurred = changed(replace(NOTHING, blur_share=0.3))
    is_blurred = (blurred != images).flatten(1).any(dim=1)
    assert 0.22 < is_blurred.float().mean() < 0.38
    assert (blurred.std(dim=(1, 2, 3)) < 0.2)[is_blurred].all()
    deviations = (changed(replace(NOTHING, max_noise=0.08)) - images).std(dim=(1, 2, 3))
    assert 0 <= deviations.min() < 0.01 < 0.06 < deviations.max() < 0.085
    gammas = (changed(replace(NOTHING, max_log_gamma=0.6)).log() / images.log()).nanmean(dim=(1, 2, 3)).log()
    assert -0.6 - 1e-4 <= gammas.min() < -0.55 < 0.55 < gammas.max() <= 0.6 + 1e-4
