"""Losses against diffusers' implementations and against float64 arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from pixelpersona.data.generators import step_rng
from pixelpersona.data.loader import LatentBatch, PairBatch, Part
from pixelpersona.models.base import BaseModel
from pixelpersona.models.baseline import BaselineUNet
from pixelpersona.models.tiny import build_noise_schedule
from pixelpersona.training.objectives.diffusion import (
    DiffusionObjective,
    min_snr_weights,
    stratified_timesteps,
)
from pixelpersona.training.objectives.regression import RegressionObjective


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
