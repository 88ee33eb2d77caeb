"""Losses against diffusers' implementations and against float64 arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from PIL import Image
from skimage.color import rgb2ypbpr, ypbpr2rgb

from pixelpersona.data.generators import step_rng
from pixelpersona.data.loader import LatentBatch, PairBatch, Part
from pixelpersona.models.base import BaseModel
from pixelpersona.models.baseline import BaselineUNet
from pixelpersona.models.tiny import build_noise_schedule
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
from pixelpersona.training.objectives.diffusion import (
    DiffusionObjective,
    min_snr_weights,
    stratified_timesteps,
)
from pixelpersona.training.objectives.regression import RegressionObjective
from tests.micro import AUTOENCODER_LOSS


def _batch() -> LatentBatch:
    rng = torch.Generator().manual_seed(0)
    latents, text = torch.randn(4, 4, 8, 8, generator=rng), torch.randn(4, 24, 16, generator=rng)
    return LatentBatch(latents, text, ("a", "b", "c", "d"))


@pytest.mark.parametrize("snr_gamma", [None, 5.0])
def test_diffusion_loss_equals_that_of_diffusers(micro_base: BaseModel, snr_gamma: float | None) -> None:
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule, snr_gamma=snr_gamma)
    batch = _batch()
    t = torch.tensor([0, 250, 600, 999])
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1))
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    with torch.no_grad():
        prediction = micro_base.unet(schedule.add_noise(batch.latents, eps, t), t, batch.text).sample
        error = F.mse_loss(prediction, eps, reduction="none").mean(dim=(1, 2, 3))
        if snr_gamma is not None:
            snr = compute_snr(schedule, t)
            error = error * torch.stack([snr, torch.full_like(snr, snr_gamma)]).min(dim=0).values / snr
        torch.testing.assert_close(objective.per_sample(batch, t, eps), error, rtol=1e-4, atol=1e-6)


def test_huber_loss_equals_float64_and_noise_offset_has_its_variance(micro_base: BaseModel) -> None:
    batch, t = _batch(), torch.tensor([0, 250, 600, 999])
    eps = 2 * torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1))
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule, kind="huber", huber_delta=0.5)
    with torch.no_grad():
        x_t = micro_base.noise_schedule.add_noise(batch.latents, eps, t)
        error = (micro_base.unet(x_t, t, batch.text).sample - eps).double().abs().numpy()
        found = objective.per_sample(batch, t, eps)
    expected = np.where(error < 0.5, 0.5 * error**2, 0.5 * (error - 0.25)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert (error > 0.5).mean() > 0.1  # both branches of the loss occur

    seen = []
    offset = DiffusionObjective(micro_base.unet, micro_base.noise_schedule, noise_offset=0.5)
    offset.per_sample = lambda batch, t, eps: seen.append(eps) or torch.zeros(1)  # type: ignore[method-assign]
    for step in range(200):
        offset(batch, step_rng(0, step, "loss"))
    means = torch.cat(seen).mean(dim=(2, 3))  # of 64 unit normals, plus the offset of deviation 0.5
    assert float(means.std()) == pytest.approx((1 / 64 + 0.25) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("key", "value"), [("kind", "l1"), ("huber_delta", 0.0), ("noise_offset", -1.0), ("max_timestep", 0)]
)
def test_loss_settings_out_of_range_are_refused(micro_base: BaseModel, key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"loss\.{key}={value}"):
        DiffusionObjective(micro_base.unet, micro_base.noise_schedule, **{key: value})  # type: ignore[arg-type]


def test_min_snr_weights_equal_float64() -> None:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas_cumprod = np.cumprod(1 - betas)
    t = np.array([0, 10, 500, 999])
    snr = alphas_cumprod[t] / (1 - alphas_cumprod[t])
    found = min_snr_weights(build_noise_schedule(), torch.from_numpy(t), 5.0)
    np.testing.assert_allclose(found.numpy(), np.minimum(snr, 5) / snr, rtol=1e-4)


def test_timesteps_are_one_per_stratum_and_uniform() -> None:
    draws = torch.stack([stratified_timesteps(8, 1000, step_rng(0, step, "t")) for step in range(500)])
    assert (draws // 125 == torch.arange(8)).all()
    assert draws.max() <= 999
    assert draws.float().mean().item() == pytest.approx(499.5, abs=5)
    assert stratified_timesteps(8, 500, step_rng(0, 0, "t")).max() < 500


def test_diffusion_loss_depends_only_on_its_generator(micro_base: BaseModel) -> None:
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule)
    with torch.no_grad():
        first = objective(_batch(), step_rng(0, 3, "loss"))
        torch.randn(5)
        assert torch.equal(objective(_batch(), step_rng(0, 3, "loss")), first)
        assert not torch.equal(objective(_batch(), step_rng(0, 4, "loss")), first)


def test_a_max_timestep_above_the_schedule_is_refused(micro_base: BaseModel) -> None:
    with pytest.raises(ValueError, match=r"loss\.max_timestep=1001"):
        DiffusionObjective(micro_base.unet, micro_base.noise_schedule, max_timestep=1001)


def test_regression_loss_is_the_mean_squared_error() -> None:
    supervised = BaselineUNet(cell=4, widths=(8, 8, 8)).eval()
    torch.nn.init.zeros_(supervised.out.weight)
    torch.nn.init.zeros_(supervised.out.bias)  # the network now returns the photo
    rng = np.random.default_rng(0)
    photo, pixel = (rng.integers(0, 256, (2, 3, 16, 16), dtype=np.uint8) for _ in range(2))
    batch = PairBatch(torch.from_numpy(photo), torch.from_numpy(pixel), ("a", "b"))
    expected = ((photo.astype(np.float64) - pixel) / 127.5) ** 2
    with torch.no_grad():
        found = RegressionObjective(supervised)(batch, step_rng(0, 0, "loss")).item()
        absolute = RegressionObjective(supervised, kind="l1")(batch, step_rng(0, 0, "loss")).item()
    assert found == pytest.approx(expected.mean(), rel=1e-5)
    assert absolute == pytest.approx(np.sqrt(expected).mean(), rel=1e-5)
    with pytest.raises(ValueError, match=r"loss\.kind=huber"):
        RegressionObjective(supervised, kind="huber")


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


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8])
def test_the_residual_shift_begins_at_the_noised_photo_and_ends_at_the_art(
    micro_base: BaseModel, strength: float
) -> None:
    """Checked with diffusers' forward process: at the start, noised art is the noised photo of img2img."""
    schedule = micro_base.noise_schedule
    objective = DiffusionObjective(micro_base.unet, schedule, residual_shift_strength=strength)
    rng = torch.Generator().manual_seed(3)
    art, photo, eps = (torch.randn(2, 4, 8, 8, generator=rng) for _ in range(3))
    shifted = objective.shift_noise(eps, art, photo)
    start = torch.full((2,), round(1000 * strength) - 1)
    assert objective.max_timestep == round(1000 * strength)
    torch.testing.assert_close(
        schedule.add_noise(art, shifted, start), schedule.add_noise(photo, eps, start), atol=1e-5, rtol=1e-5
    )
    end = torch.zeros(2, dtype=torch.int64)
    left = schedule.add_noise(art, shifted, end) - schedule.add_noise(art, eps, end)
    assert left.abs().max() < 0.2 * (photo - art).abs().max()


def test_the_residual_shift_needs_photos_and_splits_with_the_batch(micro_base: BaseModel) -> None:
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule, residual_shift_strength=0.5)
    with pytest.raises(
        ValueError, match=r"loss\.residual_shift_strength: batches have no latents of the photos"
    ):
        objective(_batch(), step_rng(0, 0, "loss"))
    photos = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    batch = replace(_batch(), photos=photos)
    with torch.no_grad():
        loss = objective(batch, step_rng(0, 0, "loss"))
        halves = [
            replace(
                batch,
                latents=batch.latents[part],
                text=batch.text[part],
                ids=batch.ids[part],
                photos=photos[part],
                part=Part(number, 2),
            )
            for number, part in enumerate((slice(0, 2), slice(2, 4)))
        ]
        parts = [objective(half, step_rng(0, 0, "loss")) for half in halves]
    torch.testing.assert_close(torch.stack(parts).mean(), loss)
    with pytest.raises(ValueError, match=r"loss\.residual_shift_strength=1\.0: accepted 0 to below 1"):
        DiffusionObjective(micro_base.unet, micro_base.noise_schedule, residual_shift_strength=1.0)


def test_samples_without_the_shift_are_trained_on_the_full_schedule(micro_base: BaseModel) -> None:
    """By residual_shift_probability: shifted samples stay below the shift's last timestep, others do not."""
    schedule = micro_base.noise_schedule
    objective = DiffusionObjective(
        micro_base.unet,
        schedule,
        residual_shift_strength=0.3,
        residual_shift_probability=0.6,
        timestep_power=1.0,
    )
    latents, photos = torch.zeros(2000, 1, 1, 1), torch.full((2000, 1, 1, 1), 100.0)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(batch: LatentBatch, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        seen.append((t, eps[:, 0, 0, 0]))
        return torch.zeros(len(t))

    objective.per_sample = record  # type: ignore[method-assign]
    batch = LatentBatch(latents, torch.zeros(2000, 1, 1), ("",) * 2000, photos=photos)
    objective(batch, step_rng(0, 0, "loss"))
    (t, eps), *_ = seen
    has_photo = eps > 10.0  # the photo's part is far larger than any noise
    assert has_photo.float().mean().item() == pytest.approx(0.6, abs=0.05)
    assert int(t[has_photo].max()) < 300
    assert t[~has_photo].float().mean().item() == pytest.approx(500, abs=30)
    for wrong in (0.0, 1.5):
        with pytest.raises(
            ValueError, match=rf"loss\.residual_shift_probability={wrong}: accepted above 0 to 1"
        ):
            DiffusionObjective(
                micro_base.unet, schedule, residual_shift_strength=0.3, residual_shift_probability=wrong
            )


def test_plain_noise_takes_every_timestep_of_its_stratum(micro_base: BaseModel) -> None:
    """Not only multiples of two, as timesteps of the shift stretched over the schedule would be."""
    objective = DiffusionObjective(
        micro_base.unet,
        micro_base.noise_schedule,
        residual_shift_strength=0.5,
        residual_shift_probability=0.5,
        timestep_power=2.0,
    )
    num = 4000
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(batch: LatentBatch, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        seen.append((t, eps))
        return torch.zeros(1)

    objective.per_sample = record  # type: ignore[method-assign]
    photos = torch.full((num, 1, 1, 1), 100.0)  # far larger than any noise
    batch = LatentBatch(torch.zeros_like(photos), torch.zeros(num, 1, 1), ("",) * num, photos=photos)
    objective(batch, step_rng(0, 0, "loss"))
    ((t, eps),) = seen
    plain = eps[:, 0, 0, 0] < 10.0
    assert (t[plain] % 2).float().mean().item() == pytest.approx(0.5, abs=0.05)
    bounds = 1000 * (torch.arange(num + 1, dtype=torch.float64) / num) ** 2
    for chosen, share in ((plain, 1.0), (~plain, 0.5)):
        low, high = share * bounds[:-1][chosen], share * bounds[1:][chosen]
        assert (t[chosen] >= low.floor()).all()
        assert (t[chosen] <= high).all()
