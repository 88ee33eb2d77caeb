"""Validation losses: every picture at the same noise levels, whatever else is measured; every pair once."""

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import LatentBatch, PairBatches
from pixelpersona.data.pairset import PairSet
from pixelpersona.models.base import BaseModel
from pixelpersona.models.baseline import BaselineUNet
from pixelpersona.recipes.evaluation import _losses
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.objectives.regression import RegressionObjective
from pixelpersona.training.validation import fixed_noise_loss, noise_levels, regression_loss

NUM = 64
LEVELS = {False: [125, 375, 625, 875], True: [62, 187, 312, 437]}  # residual_shift → timesteps


def latent_set() -> LatentSet:
    rng = torch.Generator().manual_seed(1)
    art = torch.randn(NUM, 4, 8, 8, generator=rng)
    return LatentSet(
        latents=art,
        text=torch.randn(2, 24, 16, generator=rng),
        text_index=torch.arange(NUM) % 2,
        empty_text=torch.zeros(24, 16),
        ids=tuple(f"photo-{number}.png" for number in range(NUM)),
        captions=("a", "b"),
        photos=art + 0.5 * torch.randn(NUM, 4, 8, 8, generator=rng),
    )


def chosen(latents: LatentSet, places: Iterable[int]) -> LatentSet:
    """The pictures at these places, in this order."""
    index = torch.tensor(list(places))
    assert latents.photos is not None
    return replace(
        latents,
        latents=latents.latents[index],
        text_index=latents.text_index[index],
        ids=tuple(latents.ids[place] for place in index.tolist()),
        photos=latents.photos[index],
    )


@pytest.fixture
def objective(micro_base: BaseModel) -> DiffusionObjective:
    return DiffusionObjective(micro_base.unet, micro_base.noise_schedule, residual_shift_strength=0.5)


def recorded(objective: DiffusionObjective, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """(id, timestep, noise, text) of everything that the objective is asked to predict from now on."""
    seen: list[tuple[Any, ...]] = []
    predict = objective.predict

    def recording(batch: LatentBatch, t: Tensor, eps: Tensor) -> Tensor:
        seen.extend(zip(batch.ids, t.tolist(), eps, batch.text, strict=True))
        return predict(batch, t, eps)

    monkeypatch.setattr(objective, "predict", recording)
    return seen


@pytest.mark.parametrize("residual_shift", [False, True])
def test_a_picture_s_value_depends_neither_on_the_others_nor_on_their_order(
    objective: DiffusionObjective, residual_shift: bool
) -> None:
    latents = latent_set()
    whole = fixed_noise_loss(objective, latents, residual_shift=residual_shift)
    assert whole.shape == (NUM,)
    for num in (8, 16, 32, 64):
        first = fixed_noise_loss(objective, latents, num_pictures=num, residual_shift=residual_shift)
        torch.testing.assert_close(first, whole[:num], rtol=1e-5, atol=0)
    order = torch.randperm(NUM, generator=torch.Generator().manual_seed(2)).tolist()[:21]
    other = fixed_noise_loss(objective, chosen(latents, order), batch_size=5, residual_shift=residual_shift)
    torch.testing.assert_close(other, whole[order], rtol=1e-5, atol=0)
    assert not torch.equal(fixed_noise_loss(objective, latents, seed=1, residual_shift=residual_shift), whole)


def test_an_evaluation_of_fewer_photos_gives_them_the_same_losses(micro_base: BaseModel) -> None:
    latents = latent_set()
    whole = _losses(micro_base, latents, 0.5, NUM)
    assert whole.keys() == {"noise_loss", "residual_shift_loss"}
    for num in (8, 16, 32):
        for name, values in _losses(micro_base, latents, 0.5, num).items():
            assert values == pytest.approx(whole[name][:num], rel=1e-5)


@pytest.mark.parametrize("residual_shift", [False, True])
def test_every_picture_is_measured_at_the_same_levels_with_antithetic_noise(
    objective: DiffusionObjective, residual_shift: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, latents = recorded(objective, monkeypatch), latent_set()
    fixed_noise_loss(objective, latents, num_levels=4, residual_shift=residual_shift)
    assert noise_levels(4, 1000) == LEVELS[False]
    noises = []
    assert latents.photos is not None
    for place, name in enumerate(latents.ids):
        mine = [entry for entry in seen if entry[0] == name]
        assert [timestep for _, timestep, _, _ in mine] == LEVELS[residual_shift]
        assert all(torch.equal(text, latents.text[place % 2]) for *_, text in mine)
        residual = objective.shift_scale * (latents.photos[place] - latents.latents[place])
        draws = [eps - residual if residual_shift else eps for _, _, eps, _ in mine]
        for first, second in (draws[:2], draws[2:]):
            torch.testing.assert_close(first, -second, rtol=0, atol=1e-5)
        noises += [draws[0], draws[2]]
    values = torch.stack(noises)
    assert abs(float(values.mean())) < 0.02  # 32,768 unit normals
    assert float(values.std()) == pytest.approx(1, abs=0.02)
    correlations = torch.corrcoef(values.flatten(1)).fill_diagonal_(0)
    assert float(correlations.abs().max()) < 0.4  # of 256 numbers each: no two draws are the same


def test_a_noise_loss_is_the_mean_of_diffusers_losses_over_the_levels(
    micro_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for an objective that weights and limits its training loss otherwise."""
    objective = DiffusionObjective(
        micro_base.unet, micro_base.noise_schedule, kind="huber", snr_gamma=5.0, max_timestep=300
    )
    latents = chosen(latent_set(), range(3))
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    seen = recorded(objective, monkeypatch)
    found = fixed_noise_loss(objective, latents)
    assert (objective.kind, objective.snr_gamma) == ("huber", 5.0)
    for place, name in enumerate(latents.ids):
        losses = []
        for _, timestep, eps, text in [entry for entry in seen if entry[0] == name]:
            t = torch.tensor([timestep])
            noised = schedule.add_noise(latents.latents[place : place + 1], eps[None], t)
            with torch.no_grad():
                losses.append(float(F.mse_loss(micro_base.unet(noised, t, text[None]).sample, eps[None])))
        assert float(found[place]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_loss_along_the_shift_needs_an_objective_with_one(micro_base: BaseModel) -> None:
    plain = DiffusionObjective(micro_base.unet, micro_base.noise_schedule)
    with pytest.raises(ValueError, match="residual_shift: the objective has residual_shift_strength 0"):
        fixed_noise_loss(plain, latent_set(), residual_shift=True)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 8])
def test_the_baseline_s_loss_counts_every_pair_once(batch_size: int) -> None:
    """Five pairs do not fill batches of four, and fill a batch of eight twice."""
    rng = np.random.default_rng(0)
    pictures = {f"{n}.png": rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8) for n in range(5)}
    pair_set = SimpleNamespace(
        pairs=lambda split: [SimpleNamespace(id=name) for name in pictures],
        photo=lambda name: pictures[name][0],
        pixel=lambda name: pictures[name][1],
    )
    network = BaselineUNet(cell=4, widths=(8, 8, 8)).eval()
    torch.nn.init.zeros_(network.out.weight)
    torch.nn.init.zeros_(network.out.bias)  # the network now returns the photo
    batches = PairBatches(cast(PairSet, pair_set), "val", batch_size, seed=0)
    found = regression_loss(RegressionObjective(network), batches)
    expected = [np.mean(((photo / 127.5) - (pixel / 127.5)) ** 2) for photo, pixel in pictures.values()]
    assert sorted(found.tolist()) == pytest.approx(sorted(expected), rel=1e-5)
