"""Export: a LoRA, checked against its evaluation, in another program's format and with a model card."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pixelpersona.config.export import ExportConfig, Format, Weights
from pixelpersona.evaluation.gate import export_warnings
from pixelpersona.evaluation.result import EvalResults, load_results
from pixelpersona.files import read_jsonl, writing_into
from pixelpersona.models.adapter import ADAPTER_FILE, adapter_file, merge_lora
from pixelpersona.models.base import BaseModel, save_base
from pixelpersona.models.formats import LoraFile, fits_sd1, read_lora, write_kohya
from pixelpersona.recipes.model import load_model
from pixelpersona.reporting.card import ONLY_ITS_BASE, CardInfo, card_info, write_card
from pixelpersona.reporting.lora_metadata import lora_metadata
from pixelpersona.runs.digests import file_sha256
from pixelpersona.runs.reading import read_record
from pixelpersona.terminal import say, warn

# A run's last weights lie in a folder beside result.json (runs/lora-r8/), its best ones two folders deeper.
_NUM_FOLDERS = 4


def export_adapter(config: ExportConfig) -> None:
    """Read, check, then write; a refused export leaves nothing behind. Raises ValueError."""
    model = config.model
    _check_out(config.out)
    path = adapter_file(config.adapter.path, base_name=model.name, base_path=model.path)
    if path is None:
        raise ValueError(f"adapter.path: model={model.name} has no packaged LoRA; give adapter.path=...")
    base, merged = None, None
    if config.format is Format.merged:
        base = load_model(model)
        merged = merge_lora(base, path)[0]
    lora = read_lora(path, base)
    sha256 = file_sha256(lora.file)
    results = find_results(lora.file, sha256, config.result)
    warnings = export_warnings(
        results,
        sha256,
        max_likeness_loss=config.max_likeness_loss,
        base_sha256=None if base is None else base.sha256,
    )
    hint = "" if results else " (evaluate makes one, result=FILE names one)"
    if warnings and config.strict:
        raise ValueError(f"strict=true: not exported: {'; '.join(warnings)}{hint}")
    for warning in warnings:
        warn(f"WARNING: {warning}{hint}")
    with writing_into(config.out, "nothing was written there"), _draft_folder(config.out) as draft:
        _write(config, lora, merged, draft, results, sha256, warnings)
    if limits := _limits(config, lora):
        warn(f"{config.out}: {limits}")
    say(f"wrote {config.out}")


def find_results(file: Path, adapter_sha256: str, given: Path | None) -> EvalResults | None:
    """The evaluation `given`, else the nearest result.json above a LoRA's file that has its sha256.

    Raises ValueError for a result file that is broken, or was given and is missing.
    """
    if given is not None:
        return load_results(given)
    for folder in list(file.resolve().parents)[:_NUM_FOLDERS]:
        if (folder / "result.json").is_file():
            results = load_results(folder / "result.json")
            if any(result.adapter_sha256 == adapter_sha256 for result in results.variants):
                return results
    return None


def _write(
    config: ExportConfig,
    lora: LoraFile,
    merged: BaseModel | None,
    folder: Path,
    results: EvalResults | None,
    sha256: str,
    warnings: list[str],
) -> None:
    """The weights in their format, then README.md with what was measured of them."""
    measured = [] if results is None else [r.variant for r in results.variants if r.adapter_sha256 == sha256]
    title = measured[0] if measured else _title(lora.file)
    own = {"model": asdict(config.model), "sampler": asdict(config.sampler)}
    trained = _run_config(lora.file) or own
    with _naming_the_run(lora.file):
        info = card_info(trained, title=title)
    info = replace(info, warnings=warnings, limits=_limits(config, lora))
    match config.format:
        case Format.diffusers:
            # A plain copy, so that its sha256 is still the one that was evaluated.
            shutil.copyfile(lora.file, folder / ADAPTER_FILE)
        case Format.kohya:
            metadata = _metadata(config, info, lora, trained)
            file = write_kohya(lora, folder / f"{title}.safetensors", metadata)
            info = replace(info, weights=file.name)
        case Format.merged:
            assert merged is not None
            dtype = torch.float16 if config.weights is Weights.fp16 else torch.float32
            save_base(merged, folder, dtype=dtype)
            info = replace(info, merged=True)
    write_card(folder, info, results if measured else None, title if measured else "")


def _limits(config: ExportConfig, lora: LoraFile) -> str:
    """What the exported LoRA does not fit; a merged pipeline contains its base."""
    return "" if fits_sd1(lora) or config.format is Format.merged else ONLY_ITS_BASE


def _metadata(
    config: ExportConfig, info: CardInfo, lora: LoraFile, trained: Mapping[str, Any]
) -> dict[str, str]:
    """The metadata of a kohya file; with the numbers of the training if the LoRA lies in its run folder."""
    run = _run_folder(lora.file)
    date, num_steps, num_images = None, None, None
    if run is not None:
        date = datetime.fromtimestamp(lora.file.stat().st_mtime, UTC).date().isoformat()
        if run == lora.file.resolve().parent:  # the last weights, not those of a best step
            num_steps = read_record(run / "summary.json", dict).get("steps")
        for row in read_jsonl(run / "artifacts.jsonl") if (run / "artifacts.jsonl").is_file() else []:
            if row.get("type") == "dataset" and isinstance(row.get("metadata"), dict):
                num_images = row["metadata"].get("num_train_pairs")
    with _naming_the_run(lora.file):
        return lora_metadata(
            info,
            trained,
            is_sd1=fits_sd1(lora),
            author=config.author,
            date=date,
            num_steps=num_steps,
            num_images=num_images,
        )


def _run_folder(file: Path) -> Path | None:
    """The nearest folder above a LoRA's file that has the config.yaml of a run; None if there is none."""
    folders = list(file.resolve().parents)[: _NUM_FOLDERS - 1]
    return next((folder for folder in folders if (folder / "config.yaml").is_file()), None)


def _run_config(file: Path) -> dict[str, Any]:
    """The configuration of the run that a LoRA's file belongs to; {} when there is none.

    Raises ValueError naming a config.yaml that cannot be read.
    """
    run = _run_folder(file)
    found = {} if run is None else read_record(run / "config.yaml", dict)
    return found if found.keys() >= {"model", "sampler"} else {}


@contextmanager
def _naming_the_run(file: Path) -> Iterator[None]:
    """Turn an error caused by an unexpected config.yaml into a ValueError that names the run's folder."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, OverflowError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{_run_folder(file)}: its config.yaml is not that of a training run ({reason})"
        ) from error


def _title(file: Path) -> str:
    """The run's name; the file's own name where it has one."""
    return file.resolve().parent.name if file.name == ADAPTER_FILE else file.stem


def _check_out(out: Path) -> None:
    """Raises ValueError when something is there already: an export replaces nothing."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise ValueError(f"out={out}: already exists; accepted a new or an empty folder")


@contextmanager
def _draft_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that is renamed to it at the end, and removed after an error."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".export-", dir=out.parent))
    try:
        yield draft
        draft.chmod(0o755)  # mkdtemp makes 0700
        draft.replace(out)  # also replaces an empty folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)
