"""Which direction of each tracked metric is better: for run summaries, charts and comparisons."""

from typing import Literal

Direction = Literal["min", "max"]

BETTER: dict[str, Direction] = {
    "train/loss": "min",
    "val/loss": "min",
    "eval/kid_persona": "min",
    "eval/fid_persona": "min",
    "eval/grid_contrast": "max",
}
"""Metrics that have a better direction; others, such as learning rates, have none."""
