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


def best_key(metric: str) -> str:
    """Summary key of the best value of a metric in `BETTER`."""
    return f"best/{metric}"


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Whether a value improves on the best one so far (None: there is none); never for other metrics."""
    if metric not in BETTER:
        return False
    return than is None or (value < than if BETTER[metric] == "min" else value > than)
