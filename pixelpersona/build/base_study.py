"""`pretrain stage=measure measure.study=experiments/packaged_base`: the base in numbers, curves and pictures.

Only people that the base drew itself are shown: the photos it learnt from are not the project's to show.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pixelpersona.build.evaluation import make_stylizer
from pixelpersona.build.inference import SamplerConfig
from pixelpersona.build.models import ModelConfig
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.writing import whole, write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixelpersona.models.base import BaseModel
    from pixelpersona.models.features import PersonaFeatures
    from pixelpersona.pixel.finish import Finish

_AGES = (4, 15, 25, 40, 60, 80)
_PEOPLE = (("white", "male"), ("black", "female"), ("asian", "male"), ("indian", "female"))
_STAGES = ("autoencoder", "unet", "features")
_NUM_SHOWN = 8
_NUM_STYLIZED = 24
_WOULD_CHANGE = (
    "More training: neither the UNet nor the feature network had converged when their time was up. A larger "
    "UNet than the 24 MB of assets leave room for. More photos, and more kinds of them: the data has tight "
    "crops of one face."
)


def write_base_study(
    study: Path,
    folder: Path,
    base: "BaseModel",
    extractor: "PersonaFeatures",
    found: dict[str, Any],
    table: str,
    model: ModelConfig,
    style: Pixelation,
    finish: "Finish",
) -> None:
    """README.md, results.json, losses.png and one sheet per stage below `study`.

    folder: of the pretraining run. Its stages' metrics.jsonl are kept in study/stages: where the run is no
    more, its curves are drawn from there. Portraits that it does not hold are the packaged ones.
    found, table: what was measured, as values and as Markdown. style: how altered portraits are drawn for
    the feature network.
    """
    write_whole(study / "results.json", json.dumps(found, indent=2) + "\n")
    portraits = _portraits(folder)
    sheets = {
        "autoencoder.png": _autoencoder_sheet(base, portraits[:_NUM_SHOWN]),
        "unet.png": _unet_sheet(base, found["text_to_image"]["guidance"]),
        "features.png": _features_sheet(extractor, portraits, style),
        "stylize.png": _stylize_sheet(base, portraits[-_NUM_STYLIZED:], model, finish),
    }
    for name, sheet in sheets.items():
        with whole(study / name) as draft:
            sheet.quantize(256).save(draft, "PNG", optimize=True)
    _keep_metrics(folder, study / "stages")
    has_curves = _save_curves(study / "stages", study / "losses.png")
    write_whole(study / "README.md", _readme(table, has_curves))
    print(f"wrote {study / 'README.md'}")


def _portraits(folder: Path) -> "NDArray[np.uint8]":
    """uint8 [N, H, W, 3]: the run's own portraits, or the packaged ones; the held-out last."""
    from pixelpersona.assets.locate import path as asset
    from pixelpersona.data.sources import FolderSource

    made = folder / "portraits"
    source = FolderSource(made if made.is_dir() else asset("portraits"))
    ids = sorted(source.ids(), key=lambda photo_id: source.split(photo_id) == "heldout")
    return np.stack([np.asarray(source.open(photo_id)) for photo_id in ids])


def _autoencoder_sheet(base: "BaseModel", portraits: "NDArray[np.uint8]") -> Image.Image:
    import torch

    from pixelpersona.models.codec import Codec, to_uint8, to_unit
    from pixelpersona.pixel.sheet import contact_sheet
    from pixelpersona.training.objectives.autoencoder import block_images

    blocks = to_uint8(block_images(to_unit(portraits), base.cell, torch.Generator().manual_seed(0)))
    codec = Codec(base)
    rows = [
        row
        for pictures in (portraits, blocks)
        for row in (pictures, codec.decode_latents(codec.encode_images(pictures)))
    ]
    titles = ("picture", "decoded", "blocks", "decoded")
    return contact_sheet([_pictures(row) for row in rows], row_titles=titles)


def _unet_sheet(base: "BaseModel", guidance: float) -> Image.Image:
    """Every age with every kind of person, from captions alone."""
    from pixelpersona.data.metadata import attribute_caption
    from pixelpersona.inference.imagine import imagine
    from pixelpersona.pixel.sheet import contact_sheet

    captions = [attribute_caption(age, gender, ethnicity) for ethnicity, gender in _PEOPLE for age in _AGES]
    drawn = imagine(base, captions, list(range(len(captions))), guidance=guidance)
    rows = [drawn[start : start + len(_AGES)] for start in range(0, len(drawn), len(_AGES))]
    titles = [" ".join(person) for person in _PEOPLE]
    return contact_sheet(rows, row_titles=titles, column_titles=[f"{age} years" for age in _AGES])


def _features_sheet(
    extractor: "PersonaFeatures", portraits: "NDArray[np.uint8]", style: Pixelation
) -> Image.Image:
    """Pixel art of altered portraits, and the three of all portraits that the network finds most like it."""
    from pixelpersona.data.recipe import pixelize
    from pixelpersona.evaluation.fidelity import altered_photo
    from pixelpersona.models.features import similarities
    from pixelpersona.pixel.sheet import contact_sheet

    altered = [altered_photo(photo, str(i)) for i, photo in enumerate(_pictures(portraits[:_NUM_SHOWN]))]
    drawn = np.stack([pixelize(np.asarray(photo), style)[0] for photo in altered])
    alike = similarities(extractor.likeness_features(portraits), extractor.likeness_features(drawn)).numpy()
    best = np.argsort(-alike, axis=1, kind="stable")[:, :3]
    rows = [_pictures(portraits[:_NUM_SHOWN]), _pictures(drawn), *(_pictures(portraits[b]) for b in best.T)]
    return contact_sheet(rows, row_titles=("portrait", "altered art", "nearest", "second", "third"))


def _stylize_sheet(
    base: "BaseModel", portraits: "NDArray[np.uint8]", model: ModelConfig, finish: "Finish"
) -> Image.Image:
    """What `stylize` makes of portraits that its LoRA was not trained on: photo and portrait side by side."""
    from pixelpersona.assets.locate import path as asset
    from pixelpersona.inference.search import most_alike
    from pixelpersona.models.adapter import ADAPTER_FILE, merge_lora
    from pixelpersona.pixel.sheet import contact_sheet

    tuned, _ = merge_lora(base, asset("lora") / ADAPTER_FILE)
    sampler = SamplerConfig(strength=model.portrait_strength, guidance=model.guidance)
    stylizer = make_stylizer(tuned, model, sampler, finish)
    tiles: list[Image.Image] = []
    for photo in _pictures(portraits):
        portrait = most_alike(stylizer, photo, range(4))
        tiles += [photo, Image.fromarray(portrait.snapped.image())]
    return contact_sheet([tiles[start : start + 8] for start in range(0, len(tiles), 8)])


def _pictures(images: "Sequence[NDArray[np.uint8]] | NDArray[np.uint8]") -> list[Image.Image]:
    return [Image.fromarray(image) for image in images]


def _keep_metrics(folder: Path, kept: Path) -> None:
    for name in _STAGES:
        metrics = folder / name / "metrics.jsonl"
        if metrics.is_file():
            write_whole(kept / name / metrics.name, metrics.read_text(encoding="utf-8"))


def _save_curves(folder: Path, file: Path) -> bool:
    """Whether the run holds any."""
    from pixelpersona.reporting.plots import save_loss_curves
    from pixelpersona.reporting.runs import read_run

    runs = [read_run(folder / name) for name in _STAGES if (folder / name / "metrics.jsonl").is_file()]
    if runs:
        save_loss_curves(runs, file)
    return bool(runs)


def _readme(table: str, has_curves: bool) -> str:
    parts = [
        "# How good is the packaged base?",
        "Measured on photos that took no part in any training. The pictures show nobody: the base drew "
        "these people itself, from captions.",
        table,
        "![Losses of every stage](losses.png)" if has_curves else "",
        "## Autoencoder",
        "Portraits and block images made of them, and what decoding their latents gives back.",
        "![Portraits and block images, decoded](autoencoder.png)",
        "## UNet and text encoder",
        "From captions alone, one random seed each, none left out.",
        "![Faces drawn from captions](unet.png)",
        "## Feature network",
        "Pixel art of a portrait whose crop, colours and background were changed, and the portraits the "
        "network finds most like it.",
        "![Pixel art and its nearest portraits](features.png)",
        "## What comes of it",
        "Portraits kept out of the LoRA's training, and what `stylize` makes of them.",
        "![Photo and pixel-art portrait, side by side](stylize.png)",
        "## Repeat it",
        "```sh\npython -m pixelpersona.pretrain dataset.path=faces-128.zip stage=measure "
        "measure.study=experiments/packaged_base\n```",
        "## What would change it",
        _WOULD_CHANGE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
