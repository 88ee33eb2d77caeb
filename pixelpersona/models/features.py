"""Picture features: what the distribution metrics and the likeness are measured in."""

import copy
import hashlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.models.codec import to_unit

# Covered by the hash: a change of this file that changes a value must change it.
_VERSION = "autoencoder-features-1"
_LAYOUT_CELLS = 16  # the layout view's grid, per side
_CONTRAST_WEIGHT = 3.0  # brings the surface's numbers to about 1, where KID's cubic kernel bends
# Half axes of the face's ellipse around the centre, in sides of the picture, and its soft edge.
_FACE_AXES = (0.36, 0.45)
_FACE_EDGE = 0.15


class FeatureExtractor(Protocol):
    """Two views of a picture. Numbers of two extractors compare only when their sha256 are equal."""

    @property
    def sha256(self) -> str: ...

    @property
    def num_features(self) -> int:
        """Width of `features`."""
        ...

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, num_features], without positions: for KID and FID."""
        ...

    def layout_features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, any width], where things are in the face: for likeness."""
        ...

    def views(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """`features` and `layout_features` at once."""
        ...


class AutoencoderFeatures:
    """Features of a Stable Diffusion autoencoder's encoder: conv_in, each down block, middle, latents.

    `features` says what the picture's surface is like. Every channel is standardised over the picture;
    then come the mean and the deviation, over all positions, of its distance to its 3x3 neighbourhood,
    and last the latents' own means and deviations (colour and contrast). Plain means and deviations of
    the activations see the people, not the style. Measured with the packaged autoencoder on 32 + 32
    pictures of different people: KID of photos against block pictures 0.21 [0.13, 0.32], of half-blended
    ones 0.12, of block pictures against block pictures -0.01 [-0.03, 0.02].

    `layout_features` says what is where: activations from the first down block on, averaged over 16x16
    cells, every channel standardised inside the ellipse of a centred face, so that light and colour of
    the whole drop out. Of 64 photos, altered as evaluation/fidelity.py does, 0.72 were found from block
    pictures and 0.88 from the photos themselves; colour blobs inside the same ellipse find 0.61.

    Always float32 and one picture at a time: a value does not depend on the batch it came with.
    vae_sha256: digest of the autoencoder's weights; it goes into `sha256` together with this code's version.
    """

    def __init__(self, vae: AutoencoderKL, vae_sha256: str) -> None:
        if vae.dtype != torch.float32:
            vae = copy.deepcopy(vae).float()
        self._vae = vae
        self._latent_scale = float(vae.config.scaling_factor)
        self.sha256 = hashlib.sha256(f"{_VERSION}:{vae_sha256}".encode()).hexdigest()
        widths = vae.config.block_out_channels
        surface = widths[0] + sum(widths[:-1]) + widths[-1] + vae.config.latent_channels
        self.num_features = 2 * (int(surface) + int(vae.config.latent_channels))

    def features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, num_features] on the CPU."""
        return torch.stack([_surface(levels) for levels in self._walk(images)])

    def layout_features(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 16 * 16 * channels of all levels] on the CPU."""
        return torch.stack([_layout(levels) for levels in self._walk(images)])

    def views(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """`features` and `layout_features` of the same pictures, for the price of one walk."""
        rows = [(_surface(levels), _layout(levels)) for levels in self._walk(images)]
        surface, layout = zip(*rows, strict=True)
        return torch.stack(surface), torch.stack(layout)

    def _walk(self, images: NDArray[np.uint8]) -> Iterator[list[Tensor]]:
        for pixels in to_unit(images):
            with torch.no_grad():
                levels = self._levels(pixels)
            yield levels

    def _levels(self, pixels: Tensor) -> list[Tensor]:
        """float [3, H, W] in [-1, 1] → [1, C, h, w] of conv_in, down blocks, middle, scaled latents."""
        encoder = self._vae.encoder
        training = self._vae.training
        self._vae.eval()
        hidden = encoder.conv_in(pixels[None].to(self._vae.device))
        levels = [hidden]
        for block in encoder.down_blocks:
            hidden = block(hidden)
            levels.append(hidden)
        hidden = encoder.mid_block(hidden)
        levels.append(hidden)
        moments = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(hidden)))
        if self._vae.quant_conv is not None:
            moments = self._vae.quant_conv(moments)
        levels.append(moments.chunk(2, dim=1)[0] * self._latent_scale)
        self._vae.train(training)
        return levels


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

    photo_features, portrait_features: [N, D] layout features, row by row the same person.
    Raises ValueError when the numbers of rows differ or are below 2.
    """
    if photo_features.shape != portrait_features.shape:
        shapes = f"{tuple(photo_features.shape)} and {tuple(portrait_features.shape)}"
        raise ValueError(f"likeness needs one portrait per photo, got features {shapes}")
    return similarities(photo_features, portrait_features).diagonal()


def _surface(levels: list[Tensor]) -> Tensor:
    """All levels [1, C, h, w] → [num_features] on the CPU."""
    *early, _, middle, latents = levels  # the last down block is nearly the middle
    contrasts = [_local_contrast(level) for level in (*early, middle, latents)]
    return torch.cat([*contrasts, _moments(latents)]).cpu()


def _layout(levels: list[Tensor]) -> Tensor:
    """All levels [1, C, h, w] → [16 * 16 * channels of down blocks and middle] on the CPU."""
    return torch.cat([_face_layout(level) for level in levels[1:-1]]).cpu()


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


def _face_layout(maps: Tensor) -> Tensor:
    """[1, C, h, w] → [C * 16 * 16]: each channel standardised in the face's ellipse, 0 outside."""
    cells = F.adaptive_avg_pool2d(maps, _LAYOUT_CELLS)
    weight = _face_weight(_LAYOUT_CELLS).to(cells)
    centred = cells - (cells * weight).sum(dim=(2, 3), keepdim=True) / weight.sum()
    variance = (centred.square() * weight).sum(dim=(2, 3), keepdim=True) / weight.sum()
    standard = centred / (variance.sqrt() + 1e-3) * weight
    layout: Tensor = standard.flatten() / maps.shape[1] ** 0.5  # so that all levels weigh alike
    return layout


def _face_weight(size: int) -> Tensor:
    """1 inside the ellipse of a centred face, 0 outside, a soft edge between; float32 [size, size]."""
    position = (torch.arange(size) + 0.5) / size - 0.5
    x, y = position[None, :] / _FACE_AXES[0], position[:, None] / _FACE_AXES[1]
    weight: Tensor = (1.0 + _FACE_EDGE - (x.square() + y.square())) / (2 * _FACE_EDGE)
    return weight.clamp(0.0, 1.0)
