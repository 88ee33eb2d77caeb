"""A model card beside a LoRA: README.md with the front matter that Hugging Face reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from pixelpersona.evaluation.result import METRICS, EvalResult, EvalResults
from pixelpersona.reporting.table import (
    differences_table,
    format_interval,
    format_number,
    interval_places,
    to_markdown,
    variant_title,
)
from pixelpersona.writing import write_whole

TAGS = ("lora", "diffusers", "stable-diffusion", "image-to-image", "pixel-art", "pixelpersona")


@dataclass(frozen=True, slots=True)
class CardInfo:
    """What a card says beside its metrics.

    base_model: hub id ("owner/name"), or a plain name for a base that is not on the hub. license: an
    identifier Hugging Face knows ("creativeml-openrail-m") or "other". license_note: what it means for a
    user, in a sentence. recipe: setting → value, nested as it comes. commands: how to train it again.
    merged: the folder is a whole pipeline, the LoRA added into its weights. warnings: what speaks against it.
    """

    title: str
    base_model: str
    prompt: str
    license: str
    license_note: str
    recipe: Mapping[str, Any]
    commands: Sequence[str] = ()
    weights: str = "pytorch_lora_weights.safetensors"
    strength: float = 0.5
    guidance: float = 7.5
    num_steps: int = 50
    merged: bool = False
    warnings: Sequence[str] = ()


def write_card(folder: Path, info: CardInfo, results: EvalResults | None = None, variant: str = "") -> Path:
    """Write folder/README.md and return its path. results and variant: where its metrics come from.

    Local paths in the recipe are cut down to their last part. Raises ValueError when base_model is a
    local path, or the variant is not in the results.
    """
    measured = results.variant(variant) if results is not None else None
    path = folder / "README.md"
    write_whole(path, render_card(info, results, measured))
    return path


def render_card(info: CardInfo, results: EvalResults | None, measured: EvalResult | None) -> str:
    """The card as a string. Raises ValueError when base_model is a local path."""
    if _is_path(info.base_model) or info.base_model.count("/") > 1:
        raise ValueError(
            f"base_model={info.base_model!r} is a local path; a card needs a hub id (owner/name) or a name"
        )
    front = yaml.safe_dump(_front_matter(info, measured), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{front}---",
        f"# {info.title}",
        f"{_what(info)} redraws a portrait photo as pixel art (image to image). "
        f"It was trained with the prompt `{info.prompt}`.",
        *(f"**Warning.** {warning}." for warning in info.warnings),
        f"**Licence.** {info.license_note}",
        _usage(info),
    ]
    if info.recipe:
        parts += ["## Recipe", _recipe_table(info.recipe)]
    if info.commands:
        parts.append("\n".join(["```sh", *info.commands, "```"]))
    if results is not None and measured is not None:
        parts += ["## Metrics", _metrics(results, measured), "## Hashes (sha256)", _hashes(measured)]
    return "\n\n".join(parts) + "\n"


def _what(info: CardInfo) -> str:
    merged = f"`{info.base_model}` with a LoRA merged into its weights; it"
    return merged if info.merged else f"A LoRA for `{info.base_model}` that"


def _front_matter(info: CardInfo, measured: EvalResult | None) -> dict[str, Any]:
    on_hub = "/" in info.base_model
    relation = "finetune" if info.merged else "adapter"
    front: dict[str, Any] = {
        **({"base_model": info.base_model, "base_model_relation": relation} if on_hub else {}),
        "library_name": "diffusers",
        "pipeline_tag": "image-to-image",
        "license": info.license,
        **({"license_name": "see-below"} if info.license == "other" else {}),
        "instance_prompt": info.prompt,
        "tags": [tag for tag in TAGS if not (info.merged and tag == "lora")],
    }
    if measured is not None:
        metrics = [
            {"type": name, "name": METRICS[name].title, "value": round(e.mean, 6)}
            for name, e in measured.metrics.items()
            if name in METRICS
        ]
        task = {"type": "image-to-image", "name": "photo to pixel-art portrait"}
        data = {"type": "held-out-photos", "name": f"{len(measured.photo_ids)} held-out photos"}
        front["model-index"] = [
            {"name": info.title, "results": [{"task": task, "dataset": data, "metrics": metrics}]}
        ]
    return front


def _usage(info: CardInfo) -> str:
    base = info.base_model if "/" in info.base_model else f"<folder of {info.base_model}>"
    load = f'\npipe.load_lora_weights(".", weight_name={info.weights!r})'
    if info.merged:
        base, load = ".", ""
    return f"""## Use

```python
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

pipe = StableDiffusionImg2ImgPipeline.from_pretrained({base!r}){load}
portrait = pipe(
    prompt={info.prompt!r},
    image=Image.open("me.jpg").convert("RGB"),
    strength={info.strength:g},
    guidance_scale={info.guidance:g},
    num_inference_steps={info.num_steps},
).images[0]
```"""


def _recipe_table(recipe: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {_escaped(value)} |" for key, value in _flat(recipe)]
    return "\n".join(["| setting | value |", "| --- | --- |", *rows])


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            rows.append((f"{prefix}{key}", ", ".join(_public(v) for v in value)))
        else:
            rows.append((f"{prefix}{key}", _public(value)))
    return rows


def _metrics(results: EvalResults, measured: EvalResult) -> str:
    lines = ["| metric | value | 95 % interval |", "| --- | ---: | ---: |"]
    for name, metric in METRICS.items():
        if (e := measured.metrics.get(name)) is not None:
            places = interval_places([e])
            interval = format_interval(e, places) if e.high > e.low else ""
            lines.append(f"| {metric.title} | {format_number(e.mean, places)} | {interval} |")
    lines += [
        "",
        f"Over {len(measured.photo_ids)} held-out photos. Raw: as the sampler drew it; snapped: on the grid "
        "and 16 colours.",
    ]
    table = differences_table(results)
    if variant_title(measured.variant) in table.columns[1:]:
        lines += ["", f"{table.title}; bold where the 95 % interval excludes 0:", "", to_markdown(table)]
    return "\n".join(lines).rstrip()


def _hashes(measured: EvalResult) -> str:
    hashes = {
        "base": measured.base_sha256,
        "this LoRA": measured.adapter_sha256 or "none",
        "features of the metrics": measured.features_sha256,
    }
    return "\n".join(f"- {name}: `{sha}`" for name, sha in hashes.items())


def _public(value: object) -> str:
    """The value as text, a local path cut down to its last part: a card is for strangers."""
    text = str(value)
    if isinstance(value, Path) or _is_path(text):
        return PurePosixPath(PureWindowsPath(text).as_posix()).name
    return text


def _is_path(text: str) -> bool:
    return bool(re.match(r"^(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\|file:)", text))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
