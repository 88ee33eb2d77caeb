"""Reconstruction loss of the autoencoder on photos and block images, with a strong weight on colour.

The autoencoder must reproduce both photos, which the base is trained on, and pixel art, which LoRAs draw, so
part of every batch is turned into block images on the latent grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

# Rows: luma, blue and red difference (ITU-R BT.601).
_LUMA_CHROMA = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [-0.168736, -0.331264, 0.5],
        [0.5, -0.418688, -0.081312],
    ]
)
# So that each taught channel has a deviation of about 1 over photos of faces: luma varies more than chroma.
_COLOUR_SCALES = (2.0, 12.0, 12.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderLoss:
    """Weights of the terms of the loss, all 0 or more, and how its pictures are made harder.

    l1, squared_error: of the pixels. gradient: `gradient_l1`. edge: L1 of `edge_energy`. colour: L1 of the
    cell means of luma and chroma, in which chroma counts `chroma` times as much as luma. taught: L1 of the
    first three latent channels to the cell colours. kl: Kullback-Leibler divergence to the standard normal.
    block_share: share of every batch that becomes block images, 0 to 1. latent_noise: largest standard
    deviation of the noise on the latents, in units of theirs: latents drawn by a denoiser are inexact.
    """

    l1: float
    squared_error: float
    gradient: float
    edge: float
    colour: float
    chroma: float
    taught: float
    kl: float
    block_share: float
    latent_noise: float


def block_images(images: Tensor, cell: int, rng: torch.Generator) -> Tensor:
    """Turn photos into pictures of flat cells, like pixel art but without a style.

    Each picture gets a random saturation gain (1 to 1.4) and number of levels per channel (3 to 8), so that
    the decoder sees flat cells of all colours instead of one palette. With more levels the latents of block
    images would be too similar to those of photos, and the decoder would draw both half blocky.

    images: float [B, 3, H, W] in [-1, 1], H and W multiples of `cell` (pixels). Returns the same shape.
    """
    num_images = images.shape[0]
    cells = F.avg_pool2d(images, cell) * 0.5 + 0.5
    gain = 1.0 + 0.4 * torch.rand(num_images, 1, 1, 1, generator=rng)
    grey = cells.mean(dim=1, keepdim=True)
    levels = torch.randint(3, 9, (num_images, 1, 1, 1), generator=rng).float()
    cells = (grey + (cells - grey) * gain).clamp(0, 1)
    cells = (cells * levels).round() / levels
    return F.interpolate(cells * 2 - 1, scale_factor=float(cell), mode="nearest")


def luma_chroma(images: Tensor, chroma_weight: float) -> Tensor:
    """float [B, 3, H, W] RGB → (luma, weighted blue difference, weighted red difference), same shape."""
    matrix = _LUMA_CHROMA.to(images) * images.new_tensor([[1.0], [chroma_weight], [chroma_weight]])
    return torch.einsum("ij,bjhw->bihw", matrix, images)


def gradient_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 distance of the horizontal and vertical gradients, a scalar: keeps edges sharp."""
    error = prediction - target
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def edge_energy(images: Tensor, cell: int) -> Tensor:
    """Mean absolute brightness step at cell borders and inside cells, per direction: float [B, 4].

    It measures how blocky a picture is, independent of its content. With L1 alone the decoder draws faint
    cells in photos and faint slopes in pixel art.
    """
    grey = images.contiguous().mean(dim=1)
    energies = []
    for steps in (grey.diff(dim=2).abs(), grey.diff(dim=1).abs().transpose(1, 2)):
        border = steps[..., cell - 1 :: cell]
        inside = (steps.sum(dim=(1, 2)) - border.sum(dim=(1, 2))) / (steps[0].numel() - border[0].numel())
        energies += [border.mean(dim=(1, 2)), inside]
    return torch.stack(energies, dim=1)


def cell_colours(images: Tensor, cell: int) -> Tensor:
    """Mean luma, blue and red difference of every cell, scaled to a deviation of about 1 over faces.

    images: float [B, 3, H, W] in [-1, 1] → float [B, 3, H / cell, W / cell].
    """
    means = F.avg_pool2d(luma_chroma(images, 1.0), cell)
    return means * means.new_tensor(_COLOUR_SCALES)[:, None, None]


@torch.no_grad()
def fit_colours(vae: AutoencoderKL, images: Tensor, cell: int) -> tuple[Tensor, Tensor]:
    """Scale and shift, float [3] each, by which cell colours become the first latent channels of `vae`.

    By least squares over images, float [B, 3, H, W] in [-1, 1]. The latents of a trained autoencoder are
    normalised, so that its taught channels are the cell colours only up to such a scale and shift.
    """
    latents = vae.encode(images).latent_dist.mode()[:, :3].transpose(0, 1).flatten(1)
    colours = cell_colours(images, cell).transpose(0, 1).flatten(1)
    latent_mean, colour_mean = latents.mean(dim=1), colours.mean(dim=1)
    centred = colours - colour_mean[:, None]
    scale = (centred * latents).sum(dim=1) / centred.square().sum(dim=1)
    return scale, latent_mean - scale * colour_mean


class AutoencoderObjective(nn.Module):
    """Weighted sum of the terms of `AutoencoderLoss` (KL: Kingma & Welling 2013, arXiv:1312.6114).

    Without supervision the network uses its channels for luminance and keeps one colour axis, so that yellow
    and magenta come out orange. Therefore the first three latent channels are trained to be the mean colour
    of each cell; the others encode what is inside a cell, and are constant for flat cells.

    cell: pixels per cell, the autoencoder's downsampling factor. colours: what `fit_colours` returns, for an
    autoencoder that is trained already; None for a new one.
    """

    colour_scale: Tensor
    colour_shift: Tensor

    def __init__(
        self,
        vae: AutoencoderKL,
        loss: AutoencoderLoss,
        *,
        cell: int = 4,
        colours: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.vae, self.loss, self.cell = vae, loss, cell
        scale, shift = (torch.ones(3), torch.zeros(3)) if colours is None else colours
        self.register_buffer("colour_scale", scale[:, None, None], persistent=False)
        self.register_buffer("colour_shift", shift[:, None, None], persistent=False)

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """images: float [B, 3, H, W] in [-1, 1]. Returns a scalar; the same rng state gives the same loss."""
        weight = self.loss
        num_blocks = round(weight.block_share * images.shape[0])
        blocks = block_images(images[:num_blocks], self.cell, rng)
        # Random numbers are drawn on the CPU; the network may be elsewhere.
        images = torch.cat([blocks, images[num_blocks:]]).to(self.vae.device)
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng).to(posterior.mean)
        # In units of the channels' spread, which is not yet 1 while they are being learned.
        spread = posterior.mean.detach().std(dim=(0, 2, 3), keepdim=True)
        amount = weight.latent_noise * torch.rand(len(images), 1, 1, 1, generator=rng).to(spread)
        scale = (posterior.var + (amount * spread).square()).sqrt()
        reconstruction = self.vae.decode(posterior.mean + scale * noise).sample
        edge_error = edge_energy(reconstruction, self.cell) - edge_energy(images, self.cell)
        colour_error = F.avg_pool2d(luma_chroma(reconstruction - images, weight.chroma), self.cell)
        taught = cell_colours(images, self.cell) * self.colour_scale + self.colour_shift
        taught_error = posterior.mean[:, : taught.shape[1]] - taught
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar)
        loss: Tensor = (
            weight.l1 * F.l1_loss(reconstruction, images)
            + weight.squared_error * F.mse_loss(reconstruction, images)
            + weight.gradient * gradient_l1(reconstruction, images)
            + weight.colour * colour_error.abs().mean()
            + weight.edge * edge_error.abs().mean()
            + weight.taught * taught_error.abs().mean()
            + weight.kl * kl.mean()
        )
        return loss
