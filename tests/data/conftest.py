from typing import Any

import pytest
from tqdm import tqdm


def hidden(*arguments: Any, **settings: Any) -> "tqdm[Any]":
    return tqdm(*arguments, **settings | {"disable": True})


@pytest.fixture(autouse=True)
def no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar in a file of captured output would fail under `disk_full`, and then keep tqdm's lock."""
    for module in ("pairs", "latents", "survey"):
        monkeypatch.setattr(f"pixelpersona.data.{module}.tqdm", hidden)
