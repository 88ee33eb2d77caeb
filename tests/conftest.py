"""Fixtures and settings shared by all tests."""

import os

from hypothesis import HealthCheck, settings

# Before any library reads them: nothing is downloaded or uploaded, and one thread per library keeps the
# numbers the same on every machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
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
