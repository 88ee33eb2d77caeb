"""Fixtures and settings shared by all tests."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Set before the libraries that read them are imported; for this reason the fixtures below import lazily.
# Nothing is downloaded or uploaded, and one thread per library keeps results the same on every machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("MPLBACKEND", "Agg")
for _name in ("HYDRA_FULL_ERROR", "WANDB_API_KEY"):
    os.environ.pop(_name, None)

# The same examples in every run, and no failures because a machine is slow.
settings.register_profile(
    "project", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def _wandb_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the copies that W&B makes of artifacts out of the user's own folder."""
    os.environ["WANDB_DATA_DIR"] = str(tmp_path_factory.mktemp("wandb-data"))


@pytest.fixture(scope="session")
def micro_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion for 32x32 images and 8x8 latents with random weights, in diffusers' layout."""
    from tests.micro import save_micro_base

    return save_micro_base(tmp_path_factory.mktemp("micro"))


@pytest.fixture
def micro_base(micro_base_folder: Path) -> Any:  # BaseModel
    """The same, loaded for every test, so that a test may train it."""
    from pixelpersona.models.base import load_base

    return load_base(micro_base_folder, name="micro", device="cpu")
