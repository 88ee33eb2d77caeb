"""Objectives, moving averages and checkpoints off the CPU: torch's device `meta` stands for a GPU."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from pixelpersona.data.loader import LatentBatch, PairBatch
from pixelpersona.models.base import BaseModel
from pixelpersona.models.baseline import BaselineUNet
from pixelpersona.models.tiny import build_noise_schedule
from pixelpersona.recipes.pretraining import stage
from pixelpersona.recipes.training_run import TrainingRun, make_state
from pixelpersona.training.checkpoints import TrainState, load_checkpoint, save_checkpoint
from pixelpersona.training.objectives.autoencoder import AutoencoderObjective
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.objectives.regression import RegressionObjective
from tests.composing import compose_typed
from tests.micro import AUTOENCODER_LOSS
from tests.training.killing import new_state

META = torch.device("meta")


def diffusion(base: BaseModel) -> tuple[nn.Module, object]:
    objective = DiffusionObjective(
        base.unet, build_noise_schedule(), snr_gamma=5.0, noise_offset=0.1, residual_shift_strength=0.5
    )
    latents, text = torch.zeros(4, 4, 8, 8), torch.zeros(4, 24, 16)
    return objective, LatentBatch(latents, text, tuple("abcd"), photos=torch.zeros(4, 4, 8, 8))


def autoencoder(base: BaseModel) -> tuple[nn.Module, object]:
    return AutoencoderObjective(base.vae, AUTOENCODER_LOSS), torch.zeros(4, 3, 16, 16)


def regression(base: BaseModel) -> tuple[nn.Module, object]:
    pictures = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    batch = PairBatch(pictures, pictures, ("a", "b"))
    return RegressionObjective(BaselineUNet(cell=4, widths=(8, 8, 8))), batch


@pytest.mark.parametrize("make", [diffusion, autoencoder, regression])
def test_an_objective_moves_its_batch_to_the_device_of_its_network(micro_base: BaseModel, make: Any) -> None:
    objective, batch = make(micro_base)
    loss: Tensor = objective.to(META)(batch, torch.Generator().manual_seed(0))
    assert loss.device == META
    assert loss.shape == ()


def test_a_checkpoint_s_moving_average_is_loaded_to_the_device_of_the_parameters(tmp_path: Path) -> None:
    saved = new_state()
    checkpoint = save_checkpoint(saved, tmp_path)
    state = new_state()
    assert state.ema is not None
    state.objective.to(META)
    load_checkpoint(state, checkpoint)
    assert {shadow.device for shadow in state.ema.shadow_params} == {META}


def test_a_run_s_moving_average_is_made_on_the_device_of_the_run() -> None:
    config = compose_typed("train", "method=supervised", "optimizer=sgd", "loop.ema_decay=0.9")
    run = SimpleNamespace(
        config=config,
        pair_set=SimpleNamespace(sha256=""),
        accelerator=SimpleNamespace(device=META, scaler=None),
    )
    objective = RegressionObjective(BaselineUNet(cell=4, widths=(8, 8, 8)))
    state = make_state(cast(TrainingRun, run), objective, 20, {})
    assert state.ema is not None
    assert {shadow.device for shadow in state.ema.shadow_params} == {META}


class StoppedError(Exception):
    """Raised in place of the training."""


def test_a_pretraining_stage_s_moving_average_is_made_on_the_device_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TrainState] = []

    def resume(state: TrainState, folder: Path) -> bool:
        seen.append(state)
        raise StoppedError

    scaler = torch.amp.GradScaler("cpu")
    accelerator = SimpleNamespace(device=META, scaler=scaler)
    monkeypatch.setattr(stage, "make_accelerator", lambda *_, **__: accelerator)
    monkeypatch.setattr(stage, "resume_latest", resume)
    monkeypatch.setattr(
        stage, "adamw", lambda groups, **_: torch.optim.SGD([{**group} for group in groups], lr=0.1)
    )
    config = compose_typed("pretrain", f"paths.runs={tmp_path}")
    with pytest.raises(StoppedError):
        stage.train_stage(
            nn.Linear(2, 2), cast(Any, None), config.autoencoder, config, name="autoencoder", identity={}
        )
    (state,) = seen
    assert state.ema is not None
    assert state.scaler is scaler
    assert {shadow.device for shadow in state.ema.shadow_params} == {META}
