"""Reconstruction loss of the autoencoder on photos and block images, with a strong weight on colour.

The autoencoder must reproduce both photos, which the base is trained on, and pixel art, which LoRAs draw, so
part of every batch is turned into block images on the latent grid.
"""

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
_BLOCK_SHARE = 0.4  # of every batch becomes block images
_LATENT_NOISE = 0.2  # deviations of noise, at most; latents drawn by a denoiser are inexact
_EDGE_WEIGHT = 3.0
_GRADIENT_WEIGHT = 0.5
_COLOUR_WEIGHT = 4.0
_CHROMA_WEIGHT = 4.0  # of blue and red difference against luma, in the colour error
_TAUGHT_WEIGHT = 0.3
_KL_WEIGHT = 1e-4


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


class AutoencoderObjective(nn.Module):
    """L1 + gradients + edge energy + cell colours + taught channels + KL (Kingma & Welling, arXiv:1312.6114).

    Without supervision the network uses its channels for luminance and keeps one colour axis, so that yellow
    and magenta come out orange. Therefore the first three latent channels are trained to be the mean colour
    of each cell; the others encode what is inside a cell, and are constant for flat cells.

    cell: pixels per cell, the autoencoder's downsampling factor.
    """

    def __init__(self, vae: AutoencoderKL, *, cell: int = 4) -> None:
        super().__init__()
        self.vae = vae
        self.cell = cell

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """images: float [B, 3, H, W] in [-1, 1]. Returns a scalar; the same rng state gives the same loss."""
        num_blocks = round(_BLOCK_SHARE * images.shape[0])
        blocks = block_images(images[:num_blocks], self.cell, rng)
        # Random numbers are drawn on the CPU; the network may be elsewhere.
        images = torch.cat([blocks, images[num_blocks:]]).to(self.vae.device)
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng).to(posterior.mean)
        # In units of the channels' spread, which is not yet 1 while they are being learned.
        spread = posterior.mean.detach().std(dim=(0, 2, 3), keepdim=True)
        amount = _LATENT_NOISE * torch.rand(len(images), 1, 1, 1, generator=rng).to(spread)
        scale = (posterior.var + (amount * spread).square()).sqrt()
        reconstruction = self.vae.decode(posterior.mean + scale * noise).sample
        edge_error = edge_energy(reconstruction, self.cell) - edge_energy(images, self.cell)
        colour_error = F.avg_pool2d(luma_chroma(reconstruction - images, _CHROMA_WEIGHT), self.cell)
        taught = posterior.mean[:, : len(_COLOUR_SCALES)]
        taught_error = taught - cell_colours(images, self.cell)
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar)
        loss: Tensor = (
            F.l1_loss(reconstruction, images)
            + _GRADIENT_WEIGHT * gradient_l1(reconstruction, images)
            + _COLOUR_WEIGHT * colour_error.abs().mean()
            + _EDGE_WEIGHT * edge_error.abs().mean()
            + _TAUGHT_WEIGHT * taught_error.abs().mean()
            + _KL_WEIGHT * kl.mean()
        )
        return loss
