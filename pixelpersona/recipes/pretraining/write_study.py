"""`pretrain stage=measure measure.study=experiments/packaged_base`: a base in numbers, curves and pictures.

Only synthetic people are shown, drawn by the base itself: the training photos must not be published.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.metadata import TEST, attribute_caption
from pixelpersona.data.photo_batches import photo_array
from pixelpersona.data.sources import FolderSource
from pixelpersona.evaluation.fidelity import altered_photo
from pixelpersona.files import whole, write_whole
from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.search import most_alike
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.inference.text_to_image import text_to_image
from pixelpersona.models.adapter import ADAPTER_FILE, merge_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.models.codec import Codec, to_uint8, to_unit
from pixelpersona.models.features import PersonaFeatures, similarities
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.sheet import contact_sheet
from pixelpersona.reporting.base_table import base_table
from pixelpersona.reporting.plots import save_loss_curves
from pixelpersona.runs.reading import read_run
from pixelpersona.terminal import say
from pixelpersona.training.objectives.autoencoder import block_images

_STAGES = ("autoencoder", "unet", "features")
_AGES = (4, 15, 25, 40, 60, 80)
_PEOPLE = (("white", "male"), ("black", "female"), ("asian", "male"), ("indian", "female"))
_NUM_SHOWN = 8
_NUM_STYLIZED = 24
_NUM_CANDIDATES = 4
_README = """\
# How good is the packaged base?

Measured on photos that no training used. The people in the pictures do not exist: the base drew them from \
captions.

{table}
{curves}
## Autoencoder

Portraits and block images made from them, each with the reconstruction from its latents.

![Portraits and block images, with their reconstructions](autoencoder.png)

## UNet and text encoder

Drawn from captions alone, one random seed each, without selection.

![Faces drawn from captions](unet.png)

## Feature network

Pixel art of portraits whose crop, colours and background were changed, and the portraits the network finds \
most similar to it.

![Pixel art and the most similar portraits](features.png)

## Stylized portraits

Test portraits, which the LoRA was not trained on, and what `stylize` draws from them.

![Portrait and pixel art, side by side](stylize.png)

## Reproduce

```sh
python -m pixelpersona.pretrain dataset.path=faces-128.zip stage=measure \
measure.study=experiments/packaged_base
```

## What would change the result

More training: neither the UNet nor the feature network had converged when their time was up. A larger UNet \
than the 24 MB of assets have space for. More photos, and more varied ones: the data has tight crops of one \
face.
"""


def write_study(
    config: PretrainConfig, study: Path, base: BaseModel, features: PersonaFeatures, measured: dict[str, Any]
) -> None:
    """Write README.md, results.json, losses.png and one contact sheet per stage into `study`.

    The run's portraits are shown, or the packaged ones where it has none. Its metrics.jsonl files are copied
    to study/stages, and the curves are drawn from there, so that they outlive the run.
    """
    folder = config.paths.runs / config.name
    write_whole(study / "results.json", json.dumps(measured, indent=2) + "\n")
    for name in _STAGES:
        metrics = folder / name / "metrics.jsonl"
        if metrics.is_file():
            write_whole(study / "stages" / name / metrics.name, metrics.read_text(encoding="utf-8"))
    stages = [study / "stages" / name for name in _STAGES]
    runs = [read_run(stage) for stage in stages if (stage / "metrics.jsonl").is_file()]
    if runs:
        save_loss_curves(runs, study / "losses.png")

    source = FolderSource(folder / "portraits" if (folder / "portraits").is_dir() else asset("portraits"))
    ids = sorted(source.ids(), key=lambda photo_id: source.split(photo_id) == TEST)
    portraits = photo_array(source, ids, base.image_size)
    sheets = {
        "autoencoder.png": _autoencoder_sheet(base, portraits[:_NUM_SHOWN]),
        "unet.png": _unet_sheet(config, base),
        "features.png": _features_sheet(config, features, portraits),
        "stylize.png": _stylize_sheet(config, base, portraits[-_NUM_STYLIZED:]),
    }
    for name, sheet in sheets.items():
        with whole(study / name) as draft:
            sheet.quantize(256).save(draft, "PNG", optimize=True)

    curves = "\n![Training loss of every stage](losses.png)\n" if runs else ""
    write_whole(study / "README.md", _README.format(table=base_table(measured), curves=curves))
    say(f"wrote {study / 'README.md'}")


def _autoencoder_sheet(base: BaseModel, portraits: NDArray[np.uint8]) -> Image.Image:
    blocks = to_uint8(block_images(to_unit(portraits), base.cell, torch.Generator().manual_seed(0)))
    codec = Codec(base)
    decoded = [codec.decode_latents(codec.encode_images(pictures)) for pictures in (portraits, blocks)]
    rows = [_pictures(row) for row in (portraits, decoded[0], blocks, decoded[1])]
    return contact_sheet(rows, row_titles=("picture", "decoded", "blocks", "decoded"))


def _unet_sheet(config: PretrainConfig, base: BaseModel) -> Image.Image:
    """People of every age, drawn from captions."""
    captions = [attribute_caption(age, gender, ethnicity) for ethnicity, gender in _PEOPLE for age in _AGES]
    seeds, num_steps = range(len(captions)), config.measure.num_steps
    guidance = config.measure.text_to_image_guidance
    drawn = text_to_image(base, captions, seeds, num_steps=num_steps, guidance=guidance)
    rows = [drawn[start : start + len(_AGES)] for start in range(0, len(drawn), len(_AGES))]
    titles = [" ".join(person) for person in _PEOPLE]
    return contact_sheet(rows, row_titles=titles, column_titles=[f"{age} years" for age in _AGES])


def _features_sheet(
    config: PretrainConfig, features: PersonaFeatures, portraits: NDArray[np.uint8]
) -> Image.Image:
    """Pixel art of altered portraits, and the three of all portraits that the network finds most similar."""
    style = Pixelation(**asdict(config.pixelate))
    shown = _pictures(portraits[:_NUM_SHOWN])
    altered = [altered_photo(photo, str(index), features.framing) for index, photo in enumerate(shown)]
    drawn = np.stack([pixelize(np.asarray(photo), style)[0] for photo in altered])
    likeness = similarities(features.likeness_features(portraits), features.likeness_features(drawn)).numpy()
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :3]
    rows = [shown, _pictures(drawn), *(_pictures(portraits[indices]) for indices in nearest.T)]
    return contact_sheet(rows, row_titles=("portrait", "altered art", "nearest", "second", "third"))


def _stylize_sheet(config: PretrainConfig, base: BaseModel, portraits: NDArray[np.uint8]) -> Image.Image:
    """Test portraits, which the packaged LoRA was not trained on, and what `stylize` draws from them."""
    model, num_steps, strength = config.model, config.measure.num_steps, config.model.portrait_strength
    stylizer = Stylizer(
        merge_lora(base, asset("lora") / ADAPTER_FILE)[0],
        sampler=Sampler(kind="dpm", num_steps=num_steps, strength=strength, guidance=model.guidance),
        prompt=model.prompt,
        postprocess=Postprocess(**asdict(config.postprocess)),
    )
    tiles: list[Image.Image] = []
    for photo in _pictures(portraits):
        portrait = most_alike(stylizer, photo, range(_NUM_CANDIDATES))
        tiles += [photo, Image.fromarray(portrait.snapped.image())]
    return contact_sheet([tiles[start : start + 8] for start in range(0, len(tiles), 8)])


def _pictures(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Image.Image]:
    return [Image.fromarray(image) for image in images]
