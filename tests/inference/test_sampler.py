import pytest
import torch

from pixelpersona.inference.sampler import Sampler, make_scheduler
from pixelpersona.models.tiny import build_noise_schedule


@pytest.mark.parametrize(
    ("kind", "num_steps", "strength", "guidance", "message"),
    [
        ("pndm", 20, 0.5, 3.0, "sampler.kind=pndm: accepted ddim, dpm"),
        ("dpm", 0, 0.5, 3.0, "sampler.num_steps=0: accepted 1 to 1000"),
        ("dpm", 20, 0.0, 3.0, "sampler.strength=0.0: accepted above 0"),
        ("dpm", 20, 1.2, 3.0, "sampler.strength=1.2"),
        ("dpm", 20, 0.5, 0.5, "sampler.guidance=0.5: accepted 1"),
        ("dpm", 20, 0.5, float("nan"), "sampler.guidance=nan"),
        ("dpm", 3, 0.3, 3.0, "accepted num_steps of 4 or more"),
    ],
)
def test_wrong_settings_are_named(
    kind: str, num_steps: int, strength: float, guidance: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Sampler(kind, num_steps, strength, guidance)


def test_num_calls_is_the_share_of_steps_given_by_strength() -> None:
    assert Sampler("ddim", 50, 0.5, 7.5).num_calls == 25
    assert Sampler("dpm", 20, 0.5, 3.0).num_calls == 10
    assert Sampler("dpm", 20, 1.0, 3.0).num_calls == 20


def test_ddim_uses_the_timesteps_of_stable_diffusion() -> None:
    scheduler = make_scheduler(Sampler("ddim", 50, 0.5, 7.5), build_noise_schedule())
    scheduler.set_timesteps(50)
    assert scheduler.timesteps[:2].tolist() == [981, 961]
    assert scheduler.timesteps[-1] == 1


@pytest.mark.parametrize("num_steps", [4, 10, 20, 40])
def test_strength_starts_at_the_same_noise_level_for_any_number_of_dpm_steps(num_steps: int) -> None:
    scheduler = make_scheduler(Sampler("dpm", num_steps, 0.5, 3.0), build_noise_schedule())
    scheduler.set_timesteps(num_steps)
    assert scheduler.timesteps[num_steps // 2] == 499


def sample_normal(sampler: Sampler, mean: float, deviation: float) -> torch.Tensor:
    """The steps of img2img on normally distributed data, for which the optimal eps is known exactly."""
    schedule = build_noise_schedule()
    scheduler = make_scheduler(sampler, schedule)
    scheduler.set_timesteps(sampler.num_steps)
    start = sampler.num_steps - sampler.num_calls
    if hasattr(scheduler, "set_begin_index"):  # as the pipeline does
        scheduler.set_begin_index(start)
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def moments(t: int) -> tuple[float, float, float]:
        alpha_squared = float(schedule.alphas_cumprod[t])
        sigma_squared = 1 - alpha_squared
        return alpha_squared**0.5, sigma_squared**0.5, (alpha_squared * deviation**2 + sigma_squared) ** 0.5

    alpha, _, total = moments(int(scheduler.timesteps[start]))
    x_t = alpha * mean + total * z
    for t in scheduler.timesteps[start:]:
        alpha, sigma, total = moments(int(t))
        eps = sigma * (x_t - alpha * mean) / total**2
        x_t = scheduler.step(eps, t, x_t, return_dict=False)[0]
    return x_t


def test_dpm_solves_the_probability_flow_of_normal_data() -> None:
    # Along the probability flow ODE, x_t = mean_t + deviation_t z with a constant z.
    # The final step goes from the last timestep directly to E[x_0 | x_t].
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    errors = []
    for num_steps in (10, 20, 40):
        sampler = Sampler("dpm", num_steps, 0.5, 3.0)
        scheduler = make_scheduler(sampler, build_noise_schedule())
        scheduler.set_timesteps(num_steps)
        alpha_squared = float(build_noise_schedule().alphas_cumprod[scheduler.timesteps[-1]])
        total_squared = alpha_squared * 0.4**2 + 1 - alpha_squared
        expected = 0.7 + alpha_squared**0.5 * 0.4**2 / total_squared**0.5 * z
        errors.append(float((sample_normal(sampler, 0.7, 0.4) - expected).abs().max()))
    assert max(errors) < 0.01


def test_ddim_solves_the_probability_flow_of_normal_data() -> None:
    expected = 0.7 + 0.4 * torch.linspace(-2, 2, 9, dtype=torch.float64)
    drawn = sample_normal(Sampler("ddim", 500, 0.5, 3.0), 0.7, 0.4)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0.02)
