"""The state of a run, and checkpoints that are either complete or absent.

A checkpoint is a folder step-000100 with the trained weights, optimizer, schedule, EMA and a manifest of
sha256 digests. It is written under another name, synced and renamed, so that a kill at any moment leaves the
earlier checkpoints intact.
"""

import itertools
import json
import logging
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pixelpersona.files import read_json
from pixelpersona.runs.digests import file_sha256

_MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


class DamagedError(ValueError):
    """A checkpoint whose files changed since they were written."""


@dataclass(slots=True)
class TrainState:
    """Everything that a resumed run needs to give the same result.

    step: optimizer steps taken. objective: the module under training; only parameters with requires_grad are
    stored. scaler: the GradScaler of fp16, None for other precisions. scores: name → value measured at this
    step. best: (value, step) of the best weights, best first (see `callbacks.BestCallback`). tracker_id: id
    of the W&B run. num_callbacks_done: number of the loop's callbacks that have run at this step; a stop may
    come between two. num_rows: rows of metrics.jsonl when the checkpoint was made; None where it was not
    recorded. identity: what a checkpoint must have been made with to be continued.
    """

    objective: nn.Module
    optimizer: torch.optim.Optimizer
    lr_schedule: torch.optim.lr_scheduler.LRScheduler
    ema: EMAModel | None = None
    scaler: torch.amp.GradScaler | None = None
    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    best: list[tuple[float, int]] = field(default_factory=list)
    tracker_id: str = ""
    num_callbacks_done: int = 0
    num_rows: int | None = None
    identity: dict[str, object] = field(default_factory=dict)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Name → parameter of everything that is trained, in a fixed order."""
        return {name: p for name, p in self.objective.named_parameters() if p.requires_grad}


def save_checkpoint(state: TrainState, folder: Path, *, num_kept: int = 2) -> Path:
    """Write folder/step-NNNNNN and delete all but the newest `num_kept` up to it. Returns the new folder.

    Raises ValueError, leaving earlier checkpoints intact, when a weight is not finite or the folder cannot be
    written (disk full, read-only).
    """
    target = folder / f"step-{state.step:06d}"
    draft = folder / f"{target.name}.tmp"
    weights = {name: p.detach().cpu().contiguous() for name, p in state.trainable().items()}
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise ValueError(f"{target}: not written, {broken[0]} holds values that are not finite")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file(weights, draft / "weights.safetensors")
        (draft / "weights.safetensors").chmod(0o644)  # safetensors writes 0600
        torch.save(_other_state(state), draft / "state.pt")
        files = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
        manifest = {"step": state.step, "identity": state.identity, "sha256": files}
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for path in draft.iterdir():
            _sync(path)
        # A stop that interrupted the callbacks of this step has left a checkpoint of the same step.
        before = folder / f"{target.name}.before.tmp"
        shutil.rmtree(before, ignore_errors=True)
        if target.exists():
            target.rename(before)
        draft.rename(target)
        _sync(folder)
        shutil.rmtree(before, ignore_errors=True)
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: from torch.save
        shutil.rmtree(draft, ignore_errors=True)
        raise ValueError(f"{target}: cannot be written ({' '.join(str(error).split())})") from error
    earlier = [path for path in list_checkpoints(folder) if _step_of(path) < state.step]
    for old in earlier[: max(0, len(earlier) + 1 - num_kept)]:
        shutil.rmtree(old)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first, without the drafts of killed runs."""
    if not folder.is_dir():
        return []
    return [path for path in _step_folders(folder) if (path / _MANIFEST).is_file()]


def _step_folders(folder: Path) -> list[Path]:
    """The folders step-N, by N; N may have more than six digits."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=_step_of)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def load_checkpoint(state: TrainState, checkpoint: Path) -> None:
    """Load a checkpoint into `state`, in place.

    Raises ValueError naming the folder when it is missing or was made by a run with another identity (rank,
    base, data, seed), showing the difference, and DamagedError when a file changed since it was written.
    """
    manifest_file = checkpoint / _MANIFEST
    if not manifest_file.is_file():
        raise ValueError(
            f"loop.resume={checkpoint}: no such checkpoint (a folder step-NNNNNN with {_MANIFEST})"
        )
    manifest = _read_manifest(manifest_file)
    for name, digest in manifest["sha256"].items():
        if not (checkpoint / name).is_file() or file_sha256(checkpoint / name) != digest:
            raise DamagedError(f"{checkpoint / name}: damaged (its sha256 differs from the manifest's)")
    _require_identity(state.identity, manifest["identity"], checkpoint)
    parameters = state.trainable()
    weights = load_file(checkpoint / "weights.safetensors")
    if weights.keys() != parameters.keys():
        raise ValueError(f"{checkpoint}: contains other parameters than this run trains")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    other = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
    state.optimizer.load_state_dict(other["optimizer"])
    state.lr_schedule.load_state_dict(other["lr_schedule"])
    if state.ema is not None and other["ema"] is not None:
        state.ema.load_state_dict(other["ema"])
        state.ema.to(next(iter(parameters.values())).device)
    if state.scaler is not None and other.get("scaler"):  # not in older checkpoints
        state.scaler.load_state_dict(other["scaler"])
    state.step, state.tracker_id = other["step"], other["tracker_id"]
    state.scores, state.best = other["scores"], [(value, step) for value, step in other["best"]]
    state.num_callbacks_done = other["num_callbacks_done"]
    state.num_rows = other.get("num_rows")  # not in older checkpoints


def resume_latest(state: TrainState, folder: Path) -> bool:
    """Continue from the newest undamaged checkpoint. Returns False when there is no checkpoint at all.

    Logs a warning for each damaged one. Raises DamagedError when all are damaged.
    """
    checkpoints = list_checkpoints(folder)
    for checkpoint in reversed(checkpoints):
        try:
            load_checkpoint(state, checkpoint)
        except DamagedError as error:
            _log.warning("%s; trying the previous checkpoint", error)
            damaged = error
        else:
            return True
    if checkpoints:
        raise DamagedError(f"{damaged}; all checkpoints are damaged; loop.resume=never starts anew")
    return False


def resume_from(state: TrainState, resume: str, folder: Path, *, is_main: bool = True) -> bool:
    """Resume from "auto" (the newest checkpoint in `folder`), "never" (deletes them), or a checkpoint's path.

    A checkpoint given by its path becomes the newest in `folder`, copied there if it lies elsewhere, and
    later ones are set aside, so that "auto" continues from it.
    is_main: whether this process is rank 0, the only one that changes `folder`.
    Returns whether a checkpoint was loaded. Raises ValueError as `load_checkpoint` does, also for a missing
    path.
    """
    if resume == "never":
        for checkpoint in list_checkpoints(folder):
            shutil.rmtree(checkpoint)
        return False
    if resume == "auto":
        return resume_latest(state, folder)
    load_checkpoint(state, Path(resume))
    if is_main:
        _make_newest(Path(resume), folder, state.step)
    return True


def _make_newest(checkpoint: Path, folder: Path, step: int) -> None:
    own = folder / f"step-{step:06d}"
    if own.is_dir() and own.samefile(checkpoint):
        set_aside(folder, step + 1)
        return
    draft = folder / f"{own.name}.tmp"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(checkpoint, draft)
    set_aside(folder, step)
    draft.rename(own)


def set_aside(folder: Path, first_step: int) -> None:
    """Move the folders step-N with N >= first_step, and best.json, to folder/set-aside-1 (or -2, -3, ...).

    The run continues from an earlier step: left in place, they would count as its newest. Logs a warning.
    """
    later = [path for path in _step_folders(folder) if _step_of(path) >= first_step]
    if not later:
        return
    names = (f"set-aside-{number}" for number in itertools.count(1))
    target = next(folder / name for name in names if not (folder / name).exists())
    target.mkdir()
    for path in [*reversed(later), *folder.glob("*.json")]:
        path.rename(target / path.name)
    moved = ", ".join(path.name for path in later)
    _log.warning("%s: %s moved to %s, the run continues from an earlier step", folder, moved, target.name)


def _other_state(state: TrainState) -> dict[str, Any]:
    return {
        "optimizer": state.optimizer.state_dict(),
        "lr_schedule": state.lr_schedule.state_dict(),
        "ema": state.ema.state_dict() if state.ema is not None else None,
        "scaler": state.scaler.state_dict() if state.scaler is not None else None,
        "step": state.step,
        "scores": state.scores,
        "best": state.best,
        "tracker_id": state.tracker_id,
        "num_callbacks_done": state.num_callbacks_done,
        "num_rows": state.num_rows,
    }


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        match read_json(file, dict):
            case {
                "step": int(),
                "identity": dict(),
                "sha256": {"state.pt": _, "weights.safetensors": _},
            } as found:
                return found
    except (OSError, ValueError) as error:
        raise DamagedError(f"{file}: damaged ({str(error).removeprefix(f'{file}: ')})") from error
    raise DamagedError(f"{file}: damaged (not a manifest of a checkpoint)")


def _require_identity(mine: dict[str, object], theirs: dict[str, object], checkpoint: Path) -> None:
    keys = sorted(mine.keys() | theirs.keys())
    changed = [
        f"{key} was {theirs.get(key)}, is {mine.get(key)}" for key in keys if mine.get(key) != theirs.get(key)
    ]
    if changed:
        raise ValueError(
            f"{checkpoint}: made by a run with other settings ({'; '.join(changed)}); "
            "accepted the settings of that run, or another name=..."
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
