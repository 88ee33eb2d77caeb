"""Picture features, in which distribution metrics and likeness are measured."""

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

# Part of sha256. Change it with every change of this file that changes a feature's value.
_VERSION = "persona-features-1"
_SMALLEST = 16
_CONTRAST_WEIGHT = 3.0  # scales the features to about 1, where KID's cubic kernel is sensitive


class SetFeatures(Protocol):
    """Features in which distances between sets of pictures are measured."""

    @property
    def sha256(self) -> str:
        """Digest of weights and code: values of two extractors are comparable only when it is equal."""
        ...

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, D]."""
        ...


class FeatureExtractor(SetFeatures, Protocol):
    """Two kinds of features: `features` for the style, `likeness_features` for the person.

    framing: of the pictures, one of `framing.FRAMINGS`.
    """

    @property
    def framing(self) -> str: ...

    def likeness_features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, E]: who it is, whatever the style."""
        ...

    def views(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """(`features`, `likeness_features`) of the same pictures."""
        ...


class PersonaFeatures:
    """Features from the packaged network (see `persona_net`), or from the one in `folder`.

    `features` describes local texture and colour. The activations of the network's first two layers are
    standardised per channel over the picture; the features are the mean and standard deviation, over all
    positions, of their absolute difference to the 3x3 mean, and then the mean and standard deviation of the
    colours. Plain means and deviations of the activations would capture the person rather than the style.

    `likeness_features` is the network's embedding: trained to be equal for a photo and pixel art of it,
    whatever crop, colours and background, and different for different people.

    Pictures are squares with a side of 16 pixels or more; sides other than 128 are resized first. Computed in
    float32 and one picture at a time, so that a value does not depend on its batch.
    Raises ValueError for a folder without such a network.
    """

    framing = "tight"

    def __init__(self, folder: Path | None = None) -> None:
        self._net, weights_sha256 = load_persona_net(asset("persona") if folder is None else folder)
        self.sha256 = hashlib.sha256(f"{_VERSION}:{weights_sha256}".encode()).hexdigest()

    @torch.no_grad()
    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 118]. Raises ValueError for anything else."""
        return torch.stack([_texture(pixels, self._net.early_maps(pixels)) for pixels in self._each(images)])

    def likeness_features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 128] of length 1. Raises ValueError for anything else."""
        return self.personas(images).embedding

    @torch.no_grad()
    def views(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """(`features`, `likeness_features`) of the same pictures, from one forward pass each."""
        textures, embeddings = [], []
        for pixels in self._each(images):
            early = self._net.early_maps(pixels)
            textures.append(_texture(pixels, early))
            embeddings.append(self._net.persona(early[-1]).embedding[0])
        return torch.stack(textures), torch.stack(embeddings)

    @torch.no_grad()
    def personas(self, images: NDArray[np.uint8]) -> Persona:
        """uint8 [B, H, W, 3] → the network's outputs, ages clamped at 0. Raises ValueError as `features`."""
        found: list[Persona] = [self._net(pixels) for pixels in self._each(images)]
        persona = Persona(*map(torch.cat, zip(*found, strict=True)))
        return persona._replace(age=persona.age.clamp(min=0.0))

    def _each(self, images: NDArray[np.uint8]) -> Iterator[Tensor]:
        """uint8 [B, H, W, 3] → the faces one by one, float32 [1, 3, 128, 128] in [-1, 1]."""
        check_pictures(images)
        if images.shape[1] != images.shape[2] or images.shape[1] < _SMALLEST:
            size = f"{images.shape[2]}x{images.shape[1]}"
            raise ValueError(f"features: pictures of {size}; accepted squares of {_SMALLEST} pixels or more")
        for image in self._faces(images):
            pixels = to_unit(image[None])
            if pixels.shape[-1] != IMAGE_SIZE:
                pixels = F.interpolate(pixels, size=IMAGE_SIZE, mode="bilinear", antialias=True)
            yield pixels.contiguous()

    def _faces(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the network sees of the pictures."""
        return images


def _texture(pixels: Tensor, early: list[Tensor]) -> Tensor:
    """[118]: local contrast of the early maps, then the colours' moments."""
    return torch.cat([*(_local_contrast(maps) for maps in early), _moments(pixels)])


def check_pictures(images: NDArray[np.uint8]) -> None:
    """Raises ValueError for anything but uint8 [B, H, W, 3] with at least one picture."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        raise ValueError(f"features: {images.dtype} {images.shape}; accepted uint8 [B, H, W, 3], B 1 or more")


def similarities(photo_features: Tensor, portrait_features: Tensor) -> Tensor:
    """Cosine similarities after centring both on the photos' mean: float64 [portraits, photos], -1 to 1.

    Without centring, what all faces have in common would put every pair near 1. The mean is taken over the
    photos alone, so that a portrait's value does not depend on other portraits. photo_features: [M, D], M 2
    or more. portrait_features: [N, D]. Raises ValueError for fewer than 2 photos.
    """
    if len(photo_features) < 2:
        raise ValueError(f"likeness needs at least 2 photos to centre on, got {len(photo_features)}")
    photos, portraits = photo_features.double(), portrait_features.double()
    center = photos.mean(dim=0)
    return F.normalize(portraits - center, dim=1) @ F.normalize(photos - center, dim=1).T


def likeness(photo_features: Tensor, portrait_features: Tensor) -> Tensor:
    """How similar each portrait is to its own photo: cosine after centring, float64 [N], -1 to 1.

    photo_features, portrait_features: likeness features [N, D]; row i of both is the same person.
    Raises ValueError when the shapes differ or there are fewer than 2 rows.
    """
    if photo_features.shape != portrait_features.shape:
        shapes = f"{tuple(photo_features.shape)} and {tuple(portrait_features.shape)}"
        raise ValueError(f"likeness needs one portrait per photo, got features {shapes}")
    return similarities(photo_features, portrait_features).diagonal()


def _moments(maps: Tensor) -> Tensor:
    """[1, C, h, w] → mean and standard deviation over positions, [2 C]."""
    deviation, mean = torch.std_mean(maps.flatten(2), dim=2)
    return torch.cat([mean, deviation], dim=1)[0]


def _local_contrast(maps: Tensor) -> Tensor:
    """[1, C, h, w] → moments of the distance to the 3x3 mean, per standardised channel, [2 C]."""
    deviation, mean = (m[..., None, None] for m in torch.std_mean(maps.flatten(2), dim=2))
    maps = (maps - mean) / (deviation + 1e-3)
    smooth = F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    return _CONTRAST_WEIGHT * _moments((maps - smooth).abs())
