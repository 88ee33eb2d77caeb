"""`python -m pixelpersona.export lora.path=runs/demo/lora-r8 out=exported`: a LoRA for other programs."""

import sys
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from pixelpersona.build.data import PathsConfig
from pixelpersona.build.inference import SamplerConfig
from pixelpersona.build.models import AdapterConfig, ModelConfig
from pixelpersona.door import door

if TYPE_CHECKING:
    from pixelpersona.evaluation.result import EvalResults
    from pixelpersona.models.base import BaseModel
    from pixelpersona.models.formats import LoraFile
    from pixelpersona.reporting.card import CardInfo


class Format(Enum):
    diffusers = "diffusers"
    kohya = "kohya"
    merged = "merged"


class Weights(Enum):
    fp16 = "fp16"
    fp32 = "fp32"


@dataclass(kw_only=True, slots=True)
class ExportConfig:
    """lora.path: a run folder or a .safetensors. out: a new folder; it gets the weights and a model card.

    weights: how a merged pipeline is stored. result: the evaluation that speaks for the weights; null: the
    nearest result.json above them that names their sha256. strict: refuse where otherwise it warns.
    max_likeness_loss: how much likeness the LoRA may lose against the untouched base, see `evaluation.gate`.
    """

    name: str = "export"
    timing: Path | None = None
    out: Path = MISSING
    format: Format = Format.diffusers
    weights: Weights = Weights.fp16
    result: Path | None = None
    strict: bool = False
    max_likeness_loss: float = 0.1
    model: ModelConfig = field(default_factory=ModelConfig)
    lora: AdapterConfig = field(default_factory=AdapterConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


@door("export", ExportConfig)
def main(config: ExportConfig) -> None:
    """Read, judge, then write: what is refused leaves nothing behind."""
    from pixelpersona.build.exporting import check_out, find_results, written_aside
    from pixelpersona.build.finished import file_sha256
    from pixelpersona.build.models import make_base, quiet_libraries
    from pixelpersona.evaluation.gate import doubts
    from pixelpersona.writing import writing_into

    check_out(config.out)
    quiet_libraries()
    from pixelpersona.models.formats import lora_file, read_lora

    path = config.lora.file(config.model)
    if path is None:
        raise ValueError(f"lora.path: model={config.model.name} has no packaged LoRA; give lora.path=...")
    lora = read_lora(lora_file(path))
    sha256 = file_sha256(lora.file)
    results = find_results(lora.file, sha256, config.result)
    base = make_base(config.model) if config.format is Format.merged else None
    reasons = doubts(
        results,
        sha256,
        max_likeness_loss=config.max_likeness_loss,
        base_sha256=None if base is None else base.sha256,
    )
    hint = "" if results else " (evaluate makes one, result=FILE names one)"
    if reasons and config.strict:
        raise ValueError(f"strict=true: not exported: {'; '.join(reasons)}{hint}")
    for reason in reasons:
        print(f"WARNING: {reason}{hint}", file=sys.stderr)
    with writing_into(config.out, "nothing is left there"), written_aside(config.out) as draft:
        _write(config, lora, base, draft, results, sha256, reasons)
    print(f"wrote {config.out}")


def _write(
    config: ExportConfig,
    lora: "LoraFile",
    base: "BaseModel | None",
    folder: Path,
    results: "EvalResults | None",
    sha256: str,
    reasons: list[str],
) -> None:
    """The weights in their format, then README.md with what was measured of them."""
    import torch

    from pixelpersona.models.formats import write_diffusers, write_kohya, write_merged
    from pixelpersona.reporting.card import write_card

    measured = [] if results is None else [r.variant for r in results.variants if r.adapter_sha256 == sha256]
    title = measured[0] if measured else _title(lora.file)
    info = replace(_info(config, lora.file, title), warnings=reasons)
    match config.format:
        case Format.diffusers:
            write_diffusers(lora, folder)
        case Format.kohya:
            file = write_kohya(lora, folder / f"{title}.safetensors")
            info = replace(info, weights=file.name)
        case Format.merged:
            assert base is not None
            dtype = torch.float16 if config.weights is Weights.fp16 else torch.float32
            write_merged(lora, base, folder, dtype=dtype)
            info = replace(info, merged=True)
    write_card(folder, info, results if measured else None, title if measured else "")


def _info(config: ExportConfig, file: Path, title: str) -> "CardInfo":
    from pixelpersona.build.card import card_info
    from pixelpersona.build.exporting import run_config

    own = {"model": asdict(config.model), "sampler": asdict(config.sampler)}
    return card_info(run_config(file) or own, title=title)


def _title(file: Path) -> str:
    """The run's name; of a file with a name of its own, that."""
    from pixelpersona.models.adapter import ADAPTER_FILE

    return file.resolve().parent.name if file.name == ADAPTER_FILE else file.stem


if __name__ == "__main__":
    main()
