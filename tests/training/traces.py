"""Losses of twenty steps of every objective in the project's loop, on the same inputs on every machine.

`python -m tests.training.traces` rewrites goldens/traces.json: only after a change that is meant to change
training, never after a refactoring. The autoencoder's learning rate is low because its absolute errors
amplify rounding differences.
"""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import LatentBatches, PairBatch
from pixelpersona.models.adapter import add_lora
from pixelpersona.models.base import BaseModel, load_base
from pixelpersona.models.baseline import BaselineUNet
from pixelpersona.tracking.tracker import NoTracker
from pixelpersona.training.checkpoints import TrainState
from pixelpersona.training.loop import Batches, train
from pixelpersona.training.objectives.autoencoder import AutoencoderObjective
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.objectives.regression import RegressionObjective
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters
from tests.micro import AUTOENCODER_LOSS, save_micro_base

GOLDEN = Path(__file__).parent / "goldens" / "traces.json"
NUM_STEPS, NUM_WARMUP, SEED, RANK, MAX_NORM = 20, 3, 11, 4, 1.0
LR = {"diffusion": 2e-2, "regression": 2e-3, "autoencoder": 5e-4}
WEIGHT_DECAY = 0.01
DIFFUSION: dict[str, dict[str, float]] = {
    "diffusion": {},
    "diffusion, min-SNR": {"snr_gamma": 5.0},
    "diffusion, noise offset": {"noise_offset": 0.2},
    "diffusion, residual shift": {"residual_shift_strength": 0.5},
}


class Rows(NoTracker):
    """Collects the training losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.losses.append(values["train/loss"])


def lr_factor(step: int) -> float:
    """Linear warm-up to 1, then cosine to 0; written out so that the goldens depend on no library."""
    if step < NUM_WARMUP:
        return (step + 1) / NUM_WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - NUM_WARMUP) / (NUM_STEPS - NUM_WARMUP)))


def latent_batches() -> LatentBatches:
    rng = torch.Generator().manual_seed(1)
    art = torch.randn(12, 4, 8, 8, generator=rng)
    latents = LatentSet(
        latents=art,
        text=torch.randn(2, 24, 16, generator=rng),
        text_index=torch.arange(12) % 2,
        empty_text=torch.zeros(24, 16),
        ids=tuple(map(str, range(12))),
        captions=("a", "b"),
        photos=art + 0.5 * torch.randn(12, 4, 8, 8, generator=rng),
    )
    return LatentBatches(latents, 4, SEED)


@dataclass(frozen=True)
class Pictures:
    """Pairs of a picture of flat blocks and the same picture with fewer levels."""

    def at(self, step: int) -> PairBatch:
        rng = np.random.default_rng(step)
        photo = rng.integers(0, 256, (4, 3, 4, 4), dtype=np.uint8).repeat(8, 2).repeat(8, 3)
        pixel = photo // 64 * 80
        return PairBatch(torch.from_numpy(photo), torch.from_numpy(pixel), tuple("abcd"))


class Crops:
    def at(self, step: int) -> Tensor:
        return Pictures().at(step).photo.float() / 127.5 - 1.0


def new_baseline() -> BaselineUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return BaselineUNet(cell=4, widths=(8, 8, 8))


def make_objective(name: str, base: BaseModel) -> tuple[nn.Module, Batches]:
    if name in DIFFUSION:
        add_lora(base.unet, rank=RANK, alpha=RANK)
        return DiffusionObjective(base.unet, base.noise_schedule, **DIFFUSION[name]), latent_batches()  # type: ignore[arg-type]
    if name == "regression":
        return RegressionObjective(new_baseline()), Pictures()
    return AutoencoderObjective(base.vae.requires_grad_(True), AUTOENCODER_LOSS), Crops()


def trace(name: str, base: BaseModel) -> list[float]:
    """Train the objective `name` and return the loss of every step."""
    objective, batches = make_objective(name, base)
    lr = LR[name.partition(",")[0]]
    optimizer = adamw(
        group_parameters(objective.named_parameters(), [ParameterGroup("all", "", lr, WEIGHT_DECAY)])
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_factor)
    rows = Rows()
    train(
        TrainState(objective, optimizer, schedule),
        batches,
        num_steps=NUM_STEPS,
        seed=SEED,
        accelerator=Accelerator(cpu=True),
        tracker=rows,
        max_grad_norm=MAX_NORM,
        log_every_steps=1,
    )
    return rows.losses


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = save_micro_base(Path(temporary))
        names = [*DIFFUSION, "regression", "autoencoder"]
        found = {name: trace(name, load_base(folder, name="micro")) for name in names}
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
