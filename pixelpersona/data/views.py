"""Two views of one person, a photo and pixel art, augmented so that only the person is the same in both.

Contrastive learning learns whatever both views share (SimCLR, Chen et al. 2020, arXiv:2002.05709), so crop,
colours and background are drawn independently for each view.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.data.attributes import Attributes
from pixelpersona.data.generators import step_rng
from pixelpersona.data.randomness import BatchOrder
from pixelpersona.pixel.framing import face_weight

UNKNOWN = -1
_MAX_SCALE, _MAX_SHIFT, _MAX_DEGREES = 0.12, 0.06, 7.0
_MAX_JITTER, _MAX_TINT, _GREY_SHARE = 0.35, 0.25, 0.1
_BACKGROUND_SHARE, _OTHER_PHOTO_SHARE = 0.7, 0.4
_DRAWN_SHARE, _CELLS_SHARE = 0.75, 0.15
_BLUR_SHARE, _NOISE_SHARE, _MAX_NOISE = 0.3, 0.3, 0.12
_AXES_VARY = 0.1
_CELL_SIZES = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class ViewBatch:
    """A batch of B people.

    views: float32 [2 B, 3, H, W] in [-1, 1]; rows i and B + i show the same person.
    age: float32 [B], years, NaN when unknown. gender, ethnicity: class index int64 [B] or UNKNOWN.
    """

    views: Tensor
    age: Tensor
    gender: Tensor
    ethnicity: Tensor


class ViewBatches:
    """Batches of two views per person; every photo once per epoch.

    photos: uint8 [N, H, W, 3]. drawings: uint8 [N, S, h, w, 3], cell colours of S drawings per photo, H a
    multiple of h. attributes: one per photo. genders, ethnicities: names of the classes, in order.
    Raises ValueError when the lists differ in length.
    """

    def __init__(
        self,
        photos: NDArray[np.uint8],
        drawings: NDArray[np.uint8],
        attributes: list[Attributes],
        *,
        genders: tuple[str, ...],
        ethnicities: tuple[str, ...],
        batch_size: int,
        seed: int,
    ) -> None:
        if not len(photos) == len(drawings) == len(attributes):
            raise ValueError(f"{len(photos)} photos, {len(drawings)} drawings, {len(attributes)} attributes")
        self.photos, self.drawings = photos, drawings
        self.batch_size, self.seed = batch_size, seed
        self._order = BatchOrder(len(photos), batch_size, seed)
        self._age = torch.tensor([float("nan") if a.age is None else float(a.age) for a in attributes])
        self._gender = torch.tensor([_class(a.gender, genders) for a in attributes])
        self._ethnicity = torch.tensor([_class(a.ethnicity, ethnicities) for a in attributes])

    def at(self, step: int) -> ViewBatch:
        """The batch of a step, a function of (seed, step)."""
        index = np.array(self._order.at(step))
        rng = step_rng(self.seed, step, "views")
        style = torch.randint(self.drawings.shape[1], (len(index),), generator=rng).numpy()
        photos, cells = _unit(self.photos[index]), _unit(self.drawings[index, style])
        mirrored = torch.rand(len(index), generator=rng) < 0.5
        photos = torch.where(mirrored[:, None, None, None], photos.flip(3), photos)
        cells = torch.where(mirrored[:, None, None, None], cells.flip(3), cells)
        first = _as_cells(_augmented(photos, rng), _CELLS_SHARE, rng)
        second = _drawn_or_photo(photos, cells, rng)
        views = _noised(_blurred(torch.cat([first, second]), rng), rng).clamp(0, 1) * 2 - 1
        chosen = torch.from_numpy(index)
        return ViewBatch(
            views=views.contiguous(memory_format=torch.channels_last),
            age=self._age[chosen],
            gender=self._gender[chosen],
            ethnicity=self._ethnicity[chosen],
        )


def _class(value: str | None, classes: tuple[str, ...]) -> int:
    return classes.index(value) if value in classes else UNKNOWN


def _unit(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0


def _drawn_or_photo(photos: Tensor, cells: Tensor, rng: torch.Generator) -> Tensor:
    """Mostly the drawing; otherwise the photo, augmented again and often cut into cells of another size."""
    size = photos.shape[2:]
    drawn = F.interpolate(_augmented(cells, rng, mode="nearest"), size=size, mode="nearest")
    # Taking the first rows is a random choice, since the batch is in random order.
    number = int(torch.rand(len(photos), generator=rng).lt(1 - _DRAWN_SHARE).sum())
    if number:
        drawn[:number] = _as_cells(_augmented(photos[:number], rng), 0.7, rng)
    return drawn


def _augmented(images: Tensor, rng: torch.Generator, *, mode: str = "bilinear") -> Tensor:
    """Random crop, colours and background; float [B, 3, h, w] in [0, 1]."""
    return _background(_colored(_cropped(images, rng, mode), rng), rng)


def _symmetric(num: int, limit: float, rng: torch.Generator) -> Tensor:
    return (torch.rand(num, generator=rng) * 2 - 1) * limit


def _cropped(images: Tensor, rng: torch.Generator, mode: str) -> Tensor:
    """Random scale, rotation and shift about the centre. mode="nearest" introduces no new colours."""
    num = len(images)
    angle = _symmetric(num, _MAX_DEGREES * torch.pi / 180, rng)
    scale = 1 + _symmetric(num, _MAX_SCALE, rng)
    shift = 2 * torch.stack([_symmetric(num, _MAX_SHIFT, rng) for _ in range(2)], dim=1)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cos, -sin, shift[:, 0]], dim=1), torch.stack([sin, cos, shift[:, 1]], dim=1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def _colored(images: Tensor, rng: torch.Generator) -> Tensor:
    """Random brightness, contrast, saturation and tint per picture; some pictures become greyscale."""
    num = len(images)
    brightness, contrast, saturation = (
        (1 + _symmetric(num, _MAX_JITTER, rng))[:, None, None, None] for _ in range(3)
    )
    tint = 1 + _symmetric(3 * num, _MAX_TINT, rng).reshape(num, 3, 1, 1)
    grey_share = torch.rand(num, generator=rng)[:, None, None, None]
    saturation = torch.where(grey_share < _GREY_SHARE, 0.0, saturation)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean * brightness
    grey = images.mean(dim=1, keepdim=True)
    return ((grey + (images - grey) * saturation) * tint).clamp(0, 1)


def _background(images: Tensor, rng: torch.Generator) -> Tensor:
    """Replace what is outside an ellipse around the centre by a plain colour or another picture."""
    num, _, height, width = images.shape
    stretch = 1 + _symmetric(2 * num, _AXES_VARY, rng).reshape(num, 2)
    face = torch.from_numpy(face_weight(width, height, stretch.numpy()))[:, None]
    flat = torch.rand(num, 3, 1, 1, generator=rng)
    other = torch.rand(num, generator=rng)[:, None, None, None] < _OTHER_PHOTO_SHARE
    replaced = torch.rand(num, generator=rng)[:, None, None, None] < _BACKGROUND_SHARE
    behind = torch.where(other, images.roll(1, dims=0), flat)
    return torch.where(replaced, images * face + behind * (1 - face), images)


def _as_cells(images: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Turn a share of the pictures into flat cells of one size with 3 to 8 levels per channel."""
    num = len(images)
    chosen = torch.rand(num, generator=rng)[:, None, None, None] < share
    cell = _CELL_SIZES[int(torch.randint(len(_CELL_SIZES), (1,), generator=rng))]
    levels = torch.randint(3, 9, (num, 1, 1, 1), generator=rng).float()
    cells = (F.avg_pool2d(images, cell) * levels).round() / levels
    return torch.where(chosen, F.interpolate(cells, scale_factor=float(cell), mode="nearest"), images)


def _blurred(images: Tensor, rng: torch.Generator) -> Tensor:
    """Blend some of the pictures with their 5x5 means, by a random share of 0 to 1."""
    chosen = torch.rand(len(images), generator=rng) < _BLUR_SHARE
    share = torch.rand(len(images), generator=rng)[chosen][:, None, None, None]
    soft = F.avg_pool2d(images[chosen], 5, stride=1, padding=2, count_include_pad=False)
    images = images.clone()
    images[chosen] = torch.lerp(images[chosen], soft, share)
    return images


def _noised(images: Tensor, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise with a standard deviation of up to 0.12 to some of the pictures."""
    chosen = torch.rand(len(images), generator=rng) < _NOISE_SHARE
    deviation = torch.rand(len(images), generator=rng)[chosen][:, None, None, None] * _MAX_NOISE
    images = images.clone()
    images[chosen] += deviation * torch.randn(images[chosen].shape, generator=rng)
    return images
