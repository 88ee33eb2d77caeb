"""The autoencoder's loss against Pillow, scikit-image, numpy and its formulas."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.color import rgb2ypbpr, ypbpr2rgb

from pixelpersona.data.generators import step_rng
from pixelpersona.models.base import BaseModel
from pixelpersona.training.objectives.autoencoder import (
    AutoencoderLoss,
    AutoencoderObjective,
    block_images,
    cell_colours,
    edge_energy,
    fit_colours,
    gradient_l1,
    luma_chroma,
)
from tests.micro import AUTOENCODER_LOSS


def test_block_images_are_flat_cells_of_quantised_means() -> None:
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blocks = block_images(images, 4, step_rng(0, 0, "loss"))
    cells = blocks[:, :, ::4, ::4]
    assert torch.equal(blocks, cells.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert max(len(image.flatten().unique()) for image in cells) <= 9
    assert torch.equal(blocks, block_images(images, 4, step_rng(0, 0, "loss")))


def test_luma_chroma_equals_pillows_ycbcr() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("YCbCr")).astype(float) - [0, 128, 128]
    found = luma_chroma(torch.from_numpy(rgb).permute(2, 0, 1)[None].float(), 1.0)[0].permute(1, 2, 0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1.01)  # Pillow rounds


def test_edge_energy_separates_cell_borders_from_slopes() -> None:
    cells = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    blocks = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    energy = edge_energy(blocks, 4)
    expected = np.abs(np.diff(cells.mean(dim=1).numpy(), axis=2)).mean(axis=(1, 2))
    np.testing.assert_allclose(energy[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(energy[:, [1, 3]], 0, atol=1e-7)
    slope = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    np.testing.assert_allclose(edge_energy(slope, 4)[0], [2 / 15, 2 / 15, 0, 0], atol=1e-6)


def test_gradient_l1_measures_edges_and_ignores_an_offset() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert gradient_l1(image + 0.3, image).item() == pytest.approx(0, abs=1e-6)
    moved = image.roll(1, dims=3)
    expected = np.abs(np.diff((moved - image).numpy(), axis=3)).mean()
    expected += np.abs(np.diff((moved - image).numpy(), axis=2)).mean()
    assert gradient_l1(moved, image).item() == pytest.approx(expected, rel=1e-5)


def test_autoencoder_objective_learns_colour(micro_base: BaseModel) -> None:
    """On two colours of the same luma, a reconstruction of the luma alone keeps the full chroma error."""
    vae = micro_base.vae.requires_grad_(True).train()
    objective = AutoencoderObjective(vae, AUTOENCODER_LOSS)
    colours = np.array([[0.5, -0.2, -0.2], [0.5, 0.2, 0.2]] * 2)[:, None]
    rgb = torch.from_numpy(ypbpr2rgb(colours) * 2 - 1).float()
    images = rgb.permute(0, 2, 1)[..., None].expand(4, 3, 16, 16)

    def chroma_error(pictures: torch.Tensor) -> float:
        means = F.avg_pool2d(pictures / 2 + 0.5, 4).flatten(2).permute(0, 2, 1)
        return float(np.abs(rgb2ypbpr(means.numpy()) - colours)[..., 1:].mean())

    def reconstruction() -> torch.Tensor:
        with torch.no_grad():
            return vae.decode(vae.encode(images).latent_dist.mode()).sample

    before, of_luma = chroma_error(reconstruction()), chroma_error(torch.zeros_like(images))
    assert of_luma == pytest.approx(0.2, abs=1e-3)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=5e-3)
    for step in range(40):
        loss = objective(images, step_rng(0, step, "loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert chroma_error(reconstruction()) < 0.25 * min(before, of_luma)


def test_cell_colours_are_cell_means_in_scikit_images_ypbpr() -> None:
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = cell_colours(images, 4).permute(0, 2, 3, 1).numpy() / np.array([2.0, 12.0, 12.0])
    means = images.numpy().reshape(2, 3, 2, 4, 3, 4).mean(axis=(3, 5)).transpose(0, 2, 3, 1)
    ypbpr = rgb2ypbpr(means / 2 + 0.5) * 2 - np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(found, ypbpr, atol=2e-3)


def _pictures(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_first_latent_channels_are_trained_to_be_cell_colours(micro_base: BaseModel) -> None:
    """`taught` weights the L1 distance of the first three channels to the cell colours."""
    images = _pictures(2)
    loss = replace(AUTOENCODER_LOSS, block_share=0.0)
    taught, plain = (
        AutoencoderObjective(micro_base.vae, replace(loss, taught=weight)) for weight in (0.3, 0.0)
    )
    with torch.no_grad():
        difference = taught(images, step_rng(0, 0, "loss")) - plain(images, step_rng(0, 0, "loss"))
        latents = micro_base.vae.encode(images).latent_dist.mean[:, :3]
    distance = (latents - cell_colours(images, 4)).abs().mean()
    assert difference.item() == pytest.approx(0.3 * distance.item(), rel=1e-4)


def test_the_squared_error_is_that_of_the_reconstruction(micro_base: BaseModel) -> None:
    images, vae = _pictures(3), micro_base.vae
    none = {name: 0.0 for name in AUTOENCODER_LOSS.__dataclass_fields__}
    objective = AutoencoderObjective(vae, AutoencoderLoss(**none | {"squared_error": 2.0}))
    with torch.no_grad():
        found = objective(images, step_rng(0, 0, "loss")).item()
        posterior = vae.encode(images).latent_dist
        rng = step_rng(0, 0, "loss")
        block_images(images[:0], 4, rng)
        noise = torch.randn(posterior.mean.shape, generator=rng)
        rebuilt = vae.decode(posterior.mean + posterior.std * noise).sample
    assert found == pytest.approx(2 * np.mean((rebuilt - images).numpy() ** 2), rel=1e-4)


def test_fit_colours_is_the_least_squares_line_of_numpy(micro_base: BaseModel) -> None:
    images = _pictures(4)
    scale, shift = fit_colours(micro_base.vae, images, 4)
    with torch.no_grad():
        latents = micro_base.vae.encode(images).latent_dist.mode()[:, :3]
    colours = cell_colours(images, 4)
    for channel in range(3):
        line = np.polyfit(colours[:, channel].flatten(), latents[:, channel].flatten(), 1)
        np.testing.assert_allclose([scale[channel], shift[channel]], line, rtol=1e-3, atol=1e-4)
