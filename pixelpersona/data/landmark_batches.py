"""Batches for training the landmark network: augmented crops of CelebA's aligned photos."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.data.aligned_photos import LandmarkBatch, LandmarkCrop, random_crops
from pixelpersona.data.generators import step_rng
from pixelpersona.data.randomness import BatchOrder


@dataclass(frozen=True, slots=True)
class LandmarkAugmentation:
    """Random changes of the colours and details of the crops; none moves a landmark.

    max_log_gamma: the gamma of each crop is e ** u, u uniform up to this in both directions.
    max_log_color: as `max_log_gamma`, for the factor of each colour channel.
    grey_share: share of grey crops. blur_share: share of crops blurred by a 3x3 mean.
    max_noise: largest standard deviation of Gaussian noise, in [0, 1] units.
    box_share: share of crops in which a square box of one colour hides a part.
    min_box, max_box: side of the box, as a fraction of the crop's.
    """

    max_log_gamma: float
    max_log_color: float
    grey_share: float
    blur_share: float
    max_noise: float
    box_share: float
    min_box: float
    max_box: float


class LandmarkBatches:
    """Augmented crops; every photo once per epoch.

    photos: CelebA's aligned photos, uint8 [N, 218, 178, 3]. size: side of the crops, pixels.
    """

    def __init__(
        self,
        photos: NDArray[np.uint8],
        crop: LandmarkCrop,
        augmentation: LandmarkAugmentation,
        *,
        size: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.photos, self.crop, self.augmentation = photos, crop, augmentation
        self.size, self.seed = size, seed
        self._order = BatchOrder(len(photos), batch_size, seed)

    def at(self, step: int) -> LandmarkBatch:
        """The batch of a step, a function of (seed, step)."""
        rng = step_rng(self.seed, step, "landmarks")
        crops = random_crops(self.photos[self._order.at(step)], self.crop, size=self.size, rng=rng)
        images = augmented(crops.images, self.augmentation, rng)
        return LandmarkBatch(images.contiguous(memory_format=torch.channels_last), crops.landmarks)


def augmented(images: Tensor, settings: LandmarkAugmentation, rng: torch.Generator) -> Tensor:
    """float32 [B, 3, S, S] in [0, 1] → the same with random colours, blur, noise and boxes."""
    images = _recolored(images, settings, rng)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = torch.where(_chosen(images, settings.blur_share, rng), blurred, images)
    deviation = settings.max_noise * torch.rand(len(images), 1, 1, 1, generator=rng)
    images = images + deviation * torch.randn(images.shape, generator=rng)
    return _boxed(images, settings, rng).clamp(0.0, 1.0)


def _recolored(images: Tensor, settings: LandmarkAugmentation, rng: torch.Generator) -> Tensor:
    """Random gamma and colour factors; some pictures become grey."""
    num = len(images)
    gamma = torch.exp(settings.max_log_gamma * (2.0 * torch.rand(num, 1, 1, 1, generator=rng) - 1.0))
    factors = torch.exp(settings.max_log_color * (2.0 * torch.rand(num, 3, 1, 1, generator=rng) - 1.0))
    images = images.clamp(0.0, 1.0) ** gamma * factors
    is_grey = _chosen(images, settings.grey_share, rng)
    return torch.where(is_grey, images.mean(dim=1, keepdim=True), images)


def _boxed(images: Tensor, settings: LandmarkAugmentation, rng: torch.Generator) -> Tensor:
    """Hide a square of one colour of some pictures (random erasing, Zhong et al. 2017, arXiv:1708.04896)."""
    num, _, height, width = images.shape
    side = settings.min_box + (settings.max_box - settings.min_box) * torch.rand(num, 1, generator=rng)
    left, top = (torch.rand(num, 1, generator=rng) * (1.0 - side) for _ in range(2))
    x, y = ((torch.arange(length) + 0.5) / length for length in (width, height))
    columns, rows = (x >= left) & (x < left + side), (y >= top) & (y < top + side)
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    color = torch.rand(num, 3, 1, 1, generator=rng)
    return torch.where(inside & _chosen(images, settings.box_share, rng), color, images)


def _chosen(images: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Which pictures are among a random share: bool [B, 1, 1, 1]."""
    return torch.rand(len(images), 1, 1, 1, generator=rng) < share
