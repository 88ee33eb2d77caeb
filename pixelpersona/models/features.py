"""Picture features: what the distribution metrics and the likeness are measured in."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.codec import to_unit
from pixelpersona.models.persona_net import IMAGE_SIZE, Persona, load_persona_net

# Covered by the hash: a change of this file that changes a value must change it.
_VERSION = "persona-features-1"
_SMALLEST = 16
_CONTRAST_WEIGHT = 3.0  # brings the surface's numbers to about 1, where KID's cubic kernel bends


class SetFeatures(Protocol):
    """What distances between sets of pictures are measured in: one view of a picture."""

    @property
    def sha256(self) -> str: ...

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, any width]."""
        ...


class FeatureExtractor(SetFeatures, Protocol):
    """Two views of a picture; `features` sees the style without positions.

    Numbers of two extractors compare only when their sha256 are equal.
    """

    @property
    def num_features(self) -> int:
        """Width of `features`."""
        ...

    def likeness_features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, any width], the person whatever the style: for likeness."""
        ...

    def views(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """`features` and `likeness_features` at once."""
        ...


class PersonaFeatures:
    """Features of the packaged network (see `persona_net`), or of the one in `folder`.

    `features` says what the picture's surface is like. The network's first two layers are standardised
    channel by channel over the picture; then come the mean and the deviation, over all positions, of their
    distance to their 3x3 neighbourhood, and last the colours' own means and deviations. Plain means and
    deviations of the activations see the people, not the style.

    `likeness_features` is the network's embedding: trained to be the same for a photo and for pixel art of it
    whatever the crop, the colours and the background are, and another for another person.

    Pictures are squares of any side of 16 pixels or more; others than 128 are resized first. Always float32
    and one picture at a time: a value does not depend on the batch it came with.
    Raises ValueError for a folder without such a network.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._net, weights_sha256 = load_persona_net(asset("persona") if folder is None else folder)
        self.sha256 = hashlib.sha256(f"{_VERSION}:{weights_sha256}".encode()).hexdigest()
        self.num_features = 2 * (self._net.num_early + 3)

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, num_features]. Raises ValueError for anything else."""
        return torch.stack([self._surface(pixels, self._early(pixels)) for pixels in _each(images)])

    def likeness_features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 128] of length 1. Raises ValueError for anything else."""
        return self.personas(images).embedding

    def views(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """`features` and `likeness_features` of the same pictures, for the price of one walk."""
        surface, people = [], []
        for pixels in _each(images):
            early = self._early(pixels)
            surface.append(self._surface(pixels, early))
            people.append(self._persona(early).embedding[0])
        return torch.stack(surface), torch.stack(people)

    def personas(self, images: NDArray[np.uint8]) -> Persona:
        """uint8 [B, H, W, 3] → what the network says of each. Raises ValueError for anything else."""
        found = [self._persona(self._early(pixels)) for pixels in _each(images)]
        return Persona(
            embedding=torch.cat([persona.embedding for persona in found]),
            age=torch.cat([persona.age for persona in found]).clamp(min=0.0),
            gender=torch.cat([persona.gender for persona in found]),
            ethnicity=torch.cat([persona.ethnicity for persona in found]),
        )

    @torch.no_grad()
    def _early(self, pixels: Tensor) -> list[Tensor]:
        return self._net.early_maps(pixels)

    @torch.no_grad()
    def _persona(self, early: list[Tensor]) -> Persona:
        return self._net.persona(early[-1])

    def _surface(self, pixels: Tensor, early: list[Tensor]) -> Tensor:
        """[num_features]: local contrast of the early maps, then the colours' moments."""
        return torch.cat([*(_local_contrast(maps) for maps in early), _moments(pixels)])


def _each(images: NDArray[np.uint8]) -> Iterator[Tensor]:
    """uint8 [B, H, W, 3] → float32 [1, 3, 128, 128] in [-1, 1], one by one."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        raise ValueError(f"features: {images.dtype} {images.shape}; accepted uint8 [B, H, W, 3], B 1 or more")
    if images.shape[1] != images.shape[2] or images.shape[1] < _SMALLEST:
        size = f"{images.shape[2]}x{images.shape[1]}"
        raise ValueError(f"features: pictures of {size}; accepted squares of {_SMALLEST} pixels or more")
    for image in images:
        pixels = to_unit(image[None])
        if pixels.shape[-1] != IMAGE_SIZE:
            pixels = F.interpolate(pixels, size=IMAGE_SIZE, mode="bilinear", antialias=True)
        yield pixels.contiguous()


def similarities(photo_features: Tensor, portrait_features: Tensor) -> Tensor:
    """Cosines after centring both on the photos' mean, float64 [portraits, photos], -1 to 1.

    Centred, because what all faces share would put every pair near 1; on the photos alone, so that a
    portrait's value does not depend on the portraits beside it. Raises ValueError below 2 photos.
    """
    if len(photo_features) < 2:
        raise ValueError(f"likeness needs at least 2 photos to centre on, got {len(photo_features)}")
    photos, portraits = photo_features.double(), portrait_features.double()
    center = photos.mean(dim=0)
    return F.normalize(portraits - center, dim=1) @ F.normalize(photos - center, dim=1).T


def likeness(photo_features: Tensor, portrait_features: Tensor) -> Tensor:
    """How much each portrait is its own photo: cosine after centring, float64 [N], -1 to 1.

    photo_features, portrait_features: [N, D] likeness features, row by row the same person.
    Raises ValueError when the numbers of rows differ or are below 2.
    """
    if photo_features.shape != portrait_features.shape:
        shapes = f"{tuple(photo_features.shape)} and {tuple(portrait_features.shape)}"
        raise ValueError(f"likeness needs one portrait per photo, got features {shapes}")
    return similarities(photo_features, portrait_features).diagonal()


def _moments(maps: Tensor) -> Tensor:
    """[1, C, h, w] → mean and deviation over positions, [2 C]."""
    deviation, mean = torch.std_mean(maps.flatten(2), dim=2)
    return torch.cat([mean, deviation], dim=1)[0]


def _local_contrast(maps: Tensor) -> Tensor:
    """[1, C, h, w] → mean and deviation of the distance to the 3x3 mean, per standardised channel, [2 C]."""
    deviation, mean = (m[..., None, None] for m in torch.std_mean(maps.flatten(2), dim=2))
    maps = (maps - mean) / (deviation + 1e-3)
    smooth = F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    return _CONTRAST_WEIGHT * _moments((maps - smooth).abs())
