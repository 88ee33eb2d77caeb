"""CelebA's aligned photos: their size, where the landmarks are in them, and crops of them.

Every face was moved by a similarity transform so that its landmarks are as close as possible to the same five
points. These serve as labels. They are approximate: in a turned head, the nose tip is several pixels away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pixelpersona.data.sources import PhotoSource
from pixelpersona.files import whole

WIDTH, HEIGHT = 178, 218
# Left eye, right eye, nose tip, left and right mouth corner, as seen in the picture; x and y in pixels.
_LANDMARK_PIXELS = ((69, 111), (109, 111), (89, 135), (73, 152), (105, 152))
_MIRRORED = [1, 0, 2, 4, 3]  # the landmark that a mirrored picture shows in each place
_CENTER = (89.0, 129.0)  # of the crops before the shift: near the middle of the face


@dataclass(frozen=True, slots=True)
class LandmarkCrop:
    """Range of the random similarity transforms that cut square crops out of aligned photos.

    min_side, max_side: side of the crop as a multiple of the photo's width. max_rotation_rad: radians, in
    both directions. max_shift: along each axis of the crop, as a fraction of its side. mirror_share: share of
    mirrored crops.
    """

    min_side: float
    max_side: float
    max_rotation_rad: float
    max_shift: float
    mirror_share: float


@dataclass(frozen=True, slots=True)
class LandmarkBatch:
    """images: float32 [B, 3, S, S] in [0, 1], RGB.

    landmarks: float32 [B, 5, 2], x and y as fractions of the side: left eye, right eye, nose tip, left and
    right mouth corner, as seen in the picture.
    """

    images: Tensor
    landmarks: Tensor


def aligned_photos(source: PhotoSource, ids: Sequence[str]) -> NDArray[np.uint8]:
    """These photos, uint8 [N, 218, 178, 3]. Raises ValueError naming a photo of another size."""
    photos = np.empty((len(ids), HEIGHT, WIDTH, 3), np.uint8)
    _read(source, ids, photos)
    return photos


def aligned_file(source: PhotoSource, ids: Sequence[str], file: Path) -> NDArray[np.uint8]:
    """These photos as `aligned_photos`, memory-mapped from `file` (.npy), which is written when missing.

    116 kB per photo. Raises ValueError when the file holds other photos, or naming a photo of another size.
    """
    shape = (len(ids), HEIGHT, WIDTH, 3)
    if not file.is_file():
        with whole(file) as draft:
            array = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=shape)
            _read(source, tqdm(ids, desc="photos", unit="photo", leave=False), array)
    photos: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    if photos.shape != shape:
        raise ValueError(f"{file}: made from other photos; delete it or choose another paths.runs")
    return photos


def _read(source: PhotoSource, ids: Iterable[str], photos: NDArray[np.uint8]) -> None:
    for index, photo_id in enumerate(ids):
        image = source.open(photo_id)
        if image.size != (WIDTH, HEIGHT):
            size = f"{image.width}x{image.height}"
            raise ValueError(
                f"{photo_id}: {size} pixels; accepted aligned photos of CelebA, {WIDTH}x{HEIGHT}"
            )
        photos[index] = np.asarray(image)


def random_crops(
    photos: NDArray[np.uint8], crop: LandmarkCrop, *, size: int, rng: torch.Generator
) -> LandmarkBatch:
    """One crop of `size` pixels of each photo, uint8 [B, 218, 178, 3], with its landmarks.

    Outside the photo its border is repeated. Crops are sampled at twice the size and averaged, because plain
    bilinear interpolation of a large crop shows aliasing.
    """
    num = len(photos)
    side = WIDTH * (crop.min_side + (crop.max_side - crop.min_side) * torch.rand(num, generator=rng))
    angle = crop.max_rotation_rad * (2.0 * torch.rand(num, generator=rng) - 1.0)
    shift = crop.max_shift * (2.0 * torch.rand(num, 2, generator=rng) - 1.0)
    mirrored = torch.rand(num, generator=rng) < crop.mirror_share

    # photo = center + turn @ (crop + shift), where crop is in [-0.5, 0.5] and photo in pixels.
    sign = torch.where(mirrored, -1.0, 1.0)
    cos, sin = side * angle.cos(), side * angle.sin()
    rows = [torch.stack([cos * sign, -sin], dim=1), torch.stack([sin * sign, cos], dim=1)]
    turn = torch.stack(rows, dim=1)
    middle = torch.tensor(_CENTER) + (turn @ shift[:, :, None])[:, :, 0]

    extent = torch.tensor([WIDTH, HEIGHT])  # affine_grid: both in [-1, 1]
    theta = torch.cat([turn / extent[:, None], (2.0 * middle / extent - 1.0)[:, :, None]], dim=2)
    grid = F.affine_grid(theta, [num, 3, 2 * size, 2 * size], align_corners=False)
    pixels = torch.from_numpy(np.ascontiguousarray(photos)).permute(0, 3, 1, 2).float() / 255.0
    sampled = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    points = torch.tensor(_LANDMARK_PIXELS) + 0.5
    landmarks = torch.linalg.solve(turn, (points - middle[:, None]).transpose(1, 2)).transpose(1, 2) + 0.5
    landmarks = torch.where(mirrored[:, None, None], landmarks[:, _MIRRORED], landmarks)
    return LandmarkBatch(F.avg_pool2d(sampled, 2), landmarks)
