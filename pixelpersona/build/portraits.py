"""`pretrain stage=portraits`: people that the base draws from captions, to train and try things on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelpersona.build.pretraining import Photos
from pixelpersona.build.training import Precision
from pixelpersona.writing import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pixelpersona.models.base import BaseModel

_AGES = (16, 40, 65)  # years at which the next band begins
_COPY_PERCENTILE = 1.0  # of the photos' own distances to the nearest other photo


@dataclass(kw_only=True, slots=True)
class PortraitsConfig:
    """How many portraits are kept, of how many drawn.

    precision: of the drawing; bf16 halves its time as in training.
    """

    num_kept: int = 256
    num_drawn: int = 2304
    num_steps: int = 20
    num_heldout: int = 64
    guidance: float = 4.0
    precision: Precision = Precision.fp32


def draw_portraits_stage(
    base: "BaseModel", photos: Photos, folder: Path, portraits: PortraitsConfig, seed: int
) -> None:
    """Writes folder/portraits: WebP pictures and metadata.jsonl with caption, seed and split.

    Captions are those of training photos. Kept are the best formed: those whose likeness features lie most on
    the photos' side of what tells photos and drawn ones apart, whose surface is no stranger than photos'
    are, and in which the face search sees a face most clearly; as many of each gender, ethnicity and age as
    the photos have, where so many are as well formed as the mean of all drawn ones; but none that is as near
    to a training photo as the nearest 1 % of the photos are to another one. Malformed ones fill up only what
    all others leave. folder/portraits.json says how many were copies.
    """
    from pixelpersona.data.randomness import numpy_rng
    from pixelpersona.data.sources import caption_of

    everyone = [caption_of(photos.source, photo_id) for photo_id in photos.ids]
    rng = numpy_rng(seed, 0, "portrait captions")
    captions = [everyone[i] for i in rng.choice(len(everyone), portraits.num_drawn, replace=False)]
    seeds = [seed * 1_000_003 + index for index in range(len(captions))]
    images = _draw(base, captions, seeds, portraits)
    kept, found = _choose(np.stack([np.asarray(i) for i in images]), captions, photos, everyone, portraits)
    target = folder / "portraits"
    target.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, index in enumerate(kept):
        name = f"{number:03d}.webp"
        images[index].save(target / name, "WEBP", quality=85, method=6)
        split = "heldout" if number % 4 == 3 and number // 4 < portraits.num_heldout else "train"
        rows.append({"file_name": name, "text": captions[index], "seed": seeds[index], "split": split})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_whole(target / "metadata.jsonl", text)
    write_whole(folder / "portraits.json", json.dumps(found, indent=2) + "\n")
    print(f"wrote {len(rows)} portraits to {target}; {found['num_copies']} drawn ones were like a photo")


def _draw(
    base: "BaseModel", captions: Sequence[str], seeds: Sequence[int], portraits: PortraitsConfig
) -> "list[Image.Image]":
    import torch

    from pixelpersona.inference.imagine import imagine

    half = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}.get(portraits.precision)
    with torch.autocast(base.device.type, dtype=half, enabled=half is not None):
        return imagine(base, captions, seeds, num_steps=portraits.num_steps, guidance=portraits.guidance)


def _choose(
    drawn: "NDArray[np.uint8]",
    captions: Sequence[str],
    photos: Photos,
    everyone: Sequence[str],
    portraits: PortraitsConfig,
) -> tuple[list[int], dict[str, float]]:
    """Indices of those kept, and what was found about their nearest photos (cosines of likeness)."""
    from PIL import Image

    from pixelpersona.evaluation.curation import form, nearest_similarity, proportional_choice
    from pixelpersona.models.features import PersonaFeatures
    from pixelpersona.pixel.portrait import face_support

    extractor = PersonaFeatures()
    real, pictures = extractor.views(photos.train()), extractor.views(drawn)
    support = [face_support(Image.fromarray(picture)) for picture in drawn]
    formed, well = form(real, pictures, support)
    usual = nearest_similarity(real[1], real[1], same=True)
    # The base learnt every photo mirrored, too.
    mirrored = extractor.likeness_features(np.ascontiguousarray(drawn[:, :, ::-1]))
    near = np.maximum(nearest_similarity(pictures[1], real[1]), nearest_similarity(mirrored, real[1]))
    limit = float(np.percentile(usual, 100.0 - _COPY_PERCENTILE))
    order = [int(index) for index in np.argsort(-formed, kind="stable") if near[index] < limit]
    best, malformed = ([i for i in order if well[i] == good] for good in (True, False))
    groups, wanted = ([_group(caption) for caption in texts] for texts in (captions, everyone))
    kept = proportional_choice(groups, best, portraits.num_kept, wanted, malformed)
    return kept, {
        "num_drawn": len(drawn),
        "num_copies": int((near >= limit).sum()),
        "photos_nearest_median": float(np.median(usual)),
        "photos_nearest_99th_percentile": limit,
        "kept_nearest_median": float(np.median(near[kept])) if kept else 0.0,
        "kept_nearest_highest": float(near[kept].max()) if kept else 0.0,
    }


def _group(caption: str) -> tuple[str, str, int]:
    """Gender, ethnicity and age band of a caption."""
    from pixelpersona.data.attributes import read_attributes

    said = read_attributes(caption)
    return said.gender or "", said.ethnicity or "", sum((said.age or 0) >= year for year in _AGES)
