"""Model cards: README.md beside a LoRA, with front matter for Hugging Face."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from pixelpersona.evaluation.intervals import Estimate
from pixelpersona.evaluation.result import LIKENESS, METRICS, STYLE, EvalResult, EvalResults
from pixelpersona.files import write_whole
from pixelpersona.reporting.table import (
    differences_table,
    estimate_cell,
    flat_settings,
    format_interval,
    interval_places,
)
from pixelpersona.reporting.table_formats import pipe_row, to_markdown

_RECIPE_GROUPS = ("pixelate", "lora", "lr_schedule", "loss")
TAGS = ("lora", "diffusers", "stable-diffusion", "image-to-image", "pixel-art", "pixelpersona")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardInfo:
    """The content of a card, apart from its metrics.

    base_model: hub id ("owner/name"), or a name for a base that is not on the hub. license: an identifier
    that Hugging Face knows ("creativeml-openrail-m"), or "other". license_note: what the licence permits.
    recipe: setting → value, may be nested. commands: to train it again. merged: the folder holds a whole
    pipeline with the LoRA merged into its weights. limits: what it does not fit; warnings: reasons against
    using it.
    """

    title: str
    base_model: str
    prompt: str
    license: str
    license_note: str
    recipe: Mapping[str, Any]
    commands: Sequence[str] = ()
    weights: str = "pytorch_lora_weights.safetensors"
    strength: float
    guidance: float
    num_steps: int
    merged: bool = False
    limits: str = ""
    warnings: Sequence[str] = ()


ONLY_ITS_BASE = (
    "It fits no checkpoint of A1111 or ComfyUI: its base is not Stable Diffusion 1.5 and has smaller layers. "
    "Load it with its own base, in diffusers or in PixelPersona."
)


def card_info(
    config: Mapping[str, Any], *, title: str, steps: int | None = None, commands: Sequence[str] = ()
) -> CardInfo:
    """Card of a run with this configuration.

    config: that of `train` as plain values, as in config.yaml, or at least its `model` and `sampler`.
    steps: number of trained steps, None for loop.num_steps of the configuration.
    """
    model, sampler = config["model"], config["sampler"]
    packaged = model["path"] is None
    return CardInfo(
        title=title,
        base_model="PixelPersona tiny base" if packaged else _base_name(str(model["path"])),
        prompt=str(model["prompt"]),
        license="other" if packaged else "creativeml-openrail-m",
        license_note="non-commercial research only, as the packaged base" if packaged else "that of the base",
        recipe=_recipe(config, steps),
        commands=commands,
        strength=float(sampler["strength"]),
        guidance=float(sampler["guidance"]),
        num_steps=int(sampler["num_steps"]),
    )


def write_card(folder: Path, info: CardInfo, results: EvalResults | None = None, variant: str = "") -> Path:
    """Write folder/README.md and return its path.

    results, variant: where the metrics are taken from. Local paths in the recipe are reduced to their last
    part. Raises ValueError when base_model is a local path, or the variant is not in the results.
    """
    if _is_path(info.base_model) or info.base_model.count("/") > 1:
        raise ValueError(
            f"base_model={info.base_model!r} is a local path; a card needs a hub id (owner/name) or a name"
        )
    measured = results.variant(variant) if results is not None else None
    what = f"A LoRA for `{info.base_model}` that"
    if info.merged:
        what = f"`{info.base_model}` with a LoRA merged into its weights; it"
    front = yaml.safe_dump(_front_matter(info, results, measured), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{front}---",
        f"# {info.title}",
        f"{what} redraws a portrait photo as pixel art (image to image). "
        f"It was trained with the prompt `{info.prompt}`.",
        *([info.limits] if info.limits else []),
        *(f"**Warning.** {warning}." for warning in info.warnings),
        f"**Licence.** {info.license_note}",
        _usage(info),
    ]
    if info.recipe:
        rows = [pipe_row([key, _public(value)]) for key, value in flat_settings(info.recipe).items()]
        parts += ["## Recipe", "\n".join(["| setting | value |", "| --- | --- |", *rows])]
    if info.commands:
        parts.append("\n".join(["```sh", *info.commands, "```"]))
    if results is not None and measured is not None:
        lora = measured.adapter_sha256 or "none"
        hashes = {"base": measured.base_sha256, "this LoRA": lora}
        hashes["features of the metrics"] = measured.features_sha256
        lines = [f"- {name}: `{sha}`" for name, sha in hashes.items()]
        parts += ["## Metrics", _metrics(results, measured), "## Hashes (sha256)", "\n".join(lines)]
    path = folder / "README.md"
    write_whole(path, "\n\n".join(parts) + "\n")
    return path


def _base_name(path: str) -> str:
    """A hub id unchanged; of a folder only its name, which discloses nothing about this machine."""
    is_id = path.count("/") == 1 and not Path(path).is_absolute() and path[0] not in ".~"
    return path if is_id and not Path(path).is_dir() else Path(path).name


def _recipe(config: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    if "loop" not in config:
        return {}
    loop, optimizer = config["loop"], config["optimizer"]
    known = loop["num_steps"] if steps is None else steps
    return {
        "dataset": config["dataset"]["kind"],
        **{group: config[group] for group in _RECIPE_GROUPS if group in config},
        "optimizer": {"kind": optimizer["kind"], "lr": optimizer["lr"]},
        **({"steps": known} if known is not None else {"epochs": loop["num_epochs"]}),
        "batch_size": loop["batch_size"],
        "seed": loop["seed"],
    }


def _front_matter(info: CardInfo, results: EvalResults | None, measured: EvalResult | None) -> dict[str, Any]:
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
    if results is not None and measured is not None:
        metrics = [
            {"type": name, "name": _with_interval(name, e), "value": round(e.mean, 6)}
            for name, e in measured.metrics.items()
            if name in METRICS
        ]
        task = {"type": "image-to-image", "name": "photo to pixel-art portrait"}
        kind = f"{results.split} photos"
        data = {"type": kind.replace(" ", "-"), "name": f"{len(measured.photo_ids)} {kind}"}
        front["model-index"] = [
            {"name": info.title, "results": [{"task": task, "dataset": data, "metrics": metrics}]}
        ]
    return front


def _with_interval(metric: str, estimate: Estimate) -> str:
    """Hugging Face shows a metric's name beside its value, and has no field for an interval."""
    interval = format_interval(estimate, interval_places([estimate]))
    return f"{METRICS[metric].title} (95 % interval {interval})"


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


def _metrics(results: EvalResults, measured: EvalResult) -> str:
    lines = ["| metric | value | 95 % interval |", "| --- | ---: | ---: |"]
    for name, metric in METRICS.items():
        if (e := measured.metrics.get(name)) is not None:
            cell = estimate_cell(e, interval_places([e]))
            lines.append(f"| {metric.title} | {cell.text} | {cell.interval} |")
    num = len(measured.photo_ids)
    lines += [
        "",
        f"Over {num} {results.split} photos. Raw: before snapping; snapped: on the grid, with 16 colours.",
        "",
        _training_run(results, measured),
    ]
    table = differences_table(results, variants=[measured])
    if table.rows:
        lines += ["", f"{table.title}; bold where the 95 % interval excludes 0:", "", to_markdown(table)]
    return "\n".join(lines).rstrip()


def _training_run(results: EvalResults, measured: EvalResult) -> str:
    """What the intervals do not cover; style and likeness over the runs that differ only in their seed."""
    text = "These numbers are from one training run; the intervals do not cover other training seeds."
    group = next((g for g in results.groups if measured.variant in g.members), None)
    if group is None:
        return text
    found = [
        f"{METRICS[name].title} {cell.text} ({cell.interval})"
        for name, e in group.metrics.items()
        if name in (STYLE, LIKENESS)
        for cell in (estimate_cell(e, interval_places([e]), deviation=group.deviations.get(name)),)
    ]
    return (
        f"{text} Mean over the {group.num_seeds} runs with these settings (95 % interval over seeds and "
        f"photos; SD over seeds): {'; '.join(found)}."
    )


def _public(value: object) -> str:
    """The value as text; a local path is reduced to its last part, because cards are published."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_public(item) for item in value)
    text = str(value)
    if isinstance(value, Path) or _is_path(text):
        return PurePosixPath(PureWindowsPath(text).as_posix()).name
    return text


def _is_path(text: str) -> bool:
    return bool(re.match(r"^(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\]|\\\\|file:)", text))
