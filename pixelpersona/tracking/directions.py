"""Which way each tracked metric is better: the one table behind run summaries, charts and comparisons."""

from __future__ import annotations

from typing import Literal

Direction = Literal["min", "max"]

BETTER: dict[str, Direction] = {
    "train/loss": "min",
    "val/loss": "min",
    "eval/kid_persona": "min",
    "eval/fid_persona": "min",
    "eval/grid_contrast": "max",
}
"""Metrics with a better side; others, such as learning rates, have none."""
