"""Starts W&B runs, and sets where W&B has its own folders."""

import pwd
from pathlib import Path
from typing import Any

import pytest

from pixelpersona.tracking.wandb_run import WandbTracker


def start_run(folder: Path, **changed: Any) -> WandbTracker:
    """A run with the defaults of conf/tracker/wandb.yaml."""
    settings: dict[str, Any] = {
        "project": "faces",
        "name": "lora-r4",
        "group": "runs",
        "job_type": "train",
        "tags": [],
        "config": {},
        "mode": "auto",
        "start_timeout_s": 30.0,
        "finish_timeout_s": 300.0,
    }
    return WandbTracker(folder, **settings | changed)


def default_folders(monkeypatch: pytest.MonkeyPatch, home: Path | None) -> None:
    """W&B's folders at their defaults, below this home; None: a user without a home."""
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.delenv(f"WANDB_{name}_DIR", raising=False)
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", str(home))
        return
    monkeypatch.delenv("HOME")

    def unknown_user(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown_user)
