"""What `export` needs beside the weights: their evaluation, their recipe, a folder that is whole or not."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pixelpersona.evaluation.result import EvalResults

# A run's last weights lie in a folder beside result.json (runs/lora-r8/), its best ones two folders deeper.
_NUM_FOLDERS = 4


def find_results(file: Path, adapter_sha256: str, given: Path | None) -> "EvalResults | None":
    """The evaluation `given`, else the nearest result.json above a LoRA's file that names its very weights.

    Raises ValueError for a result file that is broken, or was given and is missing.
    """
    from pixelpersona.evaluation.result import load_results

    if given is not None:
        return load_results(given)
    for folder in list(file.resolve().parents)[:_NUM_FOLDERS]:
        if (folder / "result.json").is_file():
            results = load_results(folder / "result.json")
            if any(result.adapter_sha256 == adapter_sha256 for result in results.variants):
                return results
    return None


def run_config(file: Path) -> dict[str, Any]:
    """The configuration of the run that a LoRA's file belongs to; {} when there is none beside it.

    Raises ValueError naming a config.yaml that cannot be read.
    """
    for folder in list(file.resolve().parents)[: _NUM_FOLDERS - 1]:
        config = folder / "config.yaml"
        if config.is_file():
            try:
                found = yaml.safe_load(config.read_text(encoding="utf-8"))
            except (ValueError, yaml.YAMLError) as error:
                raise ValueError(f"{config}: not readable ({' '.join(str(error).split())})") from None
            return found if isinstance(found, dict) and found.keys() >= {"model", "sampler"} else {}
    return {}


def check_out(out: Path) -> None:
    """Raises ValueError when something is there already: an export replaces nothing."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise ValueError(f"out={out}: is there already; accepted a new or an empty folder")


@contextmanager
def written_aside(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into; at the end it becomes `out`, and without an end it is gone."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield draft
        draft.chmod(0o755)  # mkdtemp makes 0700
        draft.replace(out)  # of an empty folder, too
    finally:
        shutil.rmtree(draft, ignore_errors=True)
