"""`pretrain stage=portraits`: synthetic portraits, drawn by the base from captions."""

import json
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.config.loop import Precision
from pixelpersona.config.pretrain import PortraitsConfig, PretrainConfig
from pixelpersona.data.attributes import read_attributes
from pixelpersona.data.metadata import TEST, TRAIN, VAL
from pixelpersona.data.randomness import numpy_rng
from pixelpersona.data.sources import caption_of
from pixelpersona.evaluation.curation import form, nearest_similarity, proportional_choice
from pixelpersona.evaluation.framed_features import FramedFeatures
from pixelpersona.evaluation.people import age_band
from pixelpersona.files import write_whole
from pixelpersona.inference.text_to_image import text_to_image
from pixelpersona.models.base import load_base
from pixelpersona.pixel.faces import face_support
from pixelpersona.recipes.pretraining.stage import Photos
from pixelpersona.terminal import say

_HALF = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


def draw_portraits(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/portraits: WebP pictures, and metadata.jsonl with caption, seed and split of each.

    Pictures are drawn from captions of training photos; `_choose` says which are kept. Statistics of copies
    go to <run>/portraits.json. Raises ValueError when val and test leave no portrait to train on.
    """
    settings, folder = config.portraits, photos.folder
    if settings.num_val + settings.num_test >= settings.num_kept:
        raise ValueError(
            f"portraits.num_val={settings.num_val}, portraits.num_test={settings.num_test}: "
            f"accepted together below portraits.num_kept={settings.num_kept}"
        )
    base = load_base(folder / "base", name=config.model.name)
    population = [caption_of(photos.source, photo_id) for photo_id in photos.ids]
    rng = numpy_rng(config.seed, 0, "portrait captions")
    captions = [population[i] for i in rng.choice(len(population), settings.num_drawn, replace=False)]
    seeds = [config.seed * 1_000_003 + index for index in range(len(captions))]
    half = _HALF.get(settings.precision)
    num_steps, guidance = settings.num_steps, settings.guidance
    with torch.autocast(base.device.type, dtype=half, enabled=half is not None):
        images = text_to_image(base, captions, seeds, num_steps=num_steps, guidance=guidance)
    drawn = np.stack([np.asarray(image) for image in images])
    framing = config.model.framing
    kept, statistics = _choose(drawn, captions, photos.train(), population, settings, framing)

    target = folder / "portraits"
    target.mkdir(parents=True, exist_ok=True)
    rows = []
    splits = _splits(len(kept), settings, rng)
    for number, index in enumerate(kept):
        name = f"{number:03d}.webp"
        images[index].save(target / name, "WEBP", quality=85, method=6)
        rows.append(
            {"file_name": name, "text": captions[index], "seed": seeds[index], "split": splits[number]}
        )
    write_whole(target / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_whole(folder / "portraits.json", json.dumps(statistics, indent=2) + "\n")
    say(f"wrote {len(rows)} portraits to {target}; dropped {statistics['num_copies']} as copies of a photo")


def _choose(
    drawn: NDArray[np.uint8],
    captions: Sequence[str],
    photos: NDArray[np.uint8],
    population: Sequence[str],
    settings: PortraitsConfig,
    framing: str,
) -> tuple[list[int], dict[str, float]]:
    """Indices of the portraits to keep, ascending, and statistics of their nearest photos.

    Copies are dropped: portraits that, as drawn or mirrored, are at least as similar to a training photo as
    the most similar `copy_percentile` per cent of the photos are to another photo. Of the others, the best
    formed (see `form`) are kept, in the photos' proportions of gender, ethnicity and age band; malformed ones
    are kept only when there are not enough acceptable ones.

    drawn: uint8 [M, H, W, 3], with one caption each. photos: uint8 [N, H, W, 3]. population: their captions.
    framing: of photos and portraits. Similarities are cosines of likeness features.
    """
    extractor = FramedFeatures(framing)
    real_features, drawn_features = extractor.views(photos), extractor.views(drawn)
    support = [face_support(Image.fromarray(picture)) for picture in drawn]
    scores, acceptable = form(real_features, drawn_features, support)

    real_likeness, drawn_likeness = real_features[1], drawn_features[1]
    among_photos = nearest_similarity(real_likeness, real_likeness, same=True)
    mirrored = extractor.likeness_features(np.ascontiguousarray(drawn[:, :, ::-1]))  # trained on, too
    both = (drawn_likeness, mirrored)
    nearest = np.maximum(*(nearest_similarity(features, real_likeness) for features in both))
    limit = float(np.percentile(among_photos, 100.0 - settings.copy_percentile))

    order = [int(index) for index in np.argsort(-scores, kind="stable") if nearest[index] < limit]
    kept = proportional_choice(
        [_group(caption) for caption in captions],
        [index for index in order if acceptable[index]],
        settings.num_kept,
        [_group(caption) for caption in population],
        [index for index in order if not acceptable[index]],
    )
    return kept, {
        "num_drawn": len(drawn),
        "num_copies": int((nearest >= limit).sum()),
        "photos_nearest_median": float(np.median(among_photos)),
        "photos_nearest_99th_percentile": limit,
        "kept_nearest_median": float(np.median(nearest[kept])) if kept else 0.0,
        "kept_nearest_highest": float(nearest[kept].max()) if kept else 0.0,
    }


def _splits(num_portraits: int, settings: PortraitsConfig, rng: np.random.Generator) -> list[str]:
    """The split of each portrait, at random; with fewer portraits than num_kept, train has fewer."""
    splits = [TEST] * settings.num_test + [VAL] * settings.num_val
    splits += [TRAIN] * (num_portraits - len(splits))
    return [splits[index] for index in rng.permutation(num_portraits)]


def _group(caption: str) -> tuple[str, str, int]:
    """Gender, ethnicity and age band of a caption."""
    person = read_attributes(caption)
    return person.gender or "", person.ethnicity or "", age_band(person.age or 0)
