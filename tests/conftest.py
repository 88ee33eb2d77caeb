"""Fixtures and settings shared by all tests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pixelpersona.models.base import BaseModel

# Before any library reads them: nothing is downloaded or uploaded, and one thread per library keeps the
# numbers the same on every machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("MPLBACKEND", "Agg")
for _name in ("HYDRA_FULL_ERROR", "WANDB_API_KEY"):
    os.environ.pop(_name, None)

# The same examples every time, and no opinion about the speed of the machine.
settings.register_profile(
    "project", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def _wandb_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """W&B copies artifacts into its own folder until they are uploaded: not into the user's, from tests."""
    os.environ["WANDB_DATA_DIR"] = str(tmp_path_factory.mktemp("wandb-data"))


@pytest.fixture(scope="session")
def micro_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion of 32x32 pictures and 8x8 latents with random weights, in diffusers' layout."""
    from tests.micro import save_micro_base

    return save_micro_base(tmp_path_factory.mktemp("micro"))


@pytest.fixture
def micro_base(micro_base_folder: Path) -> "BaseModel":
    """The same, loaded anew for every test, so that a test may train it."""
    from pixelpersona.models.base import load_base

    return load_base(micro_base_folder, name="micro", device="cpu")
