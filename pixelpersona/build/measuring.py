"""`pretrain stage=measure`: how good a base is, on photos kept out of its training."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pixelpersona.build.models import ModelConfig
from pixelpersona.build.pretraining import Photos
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.writing import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixelpersona.models.base import BaseModel
    from pixelpersona.models.features import PersonaFeatures
    from pixelpersona.pixel.finish import Finish

_FEWEST = 8  # two halves that KID can compare
_CLASSES = ("gender", "ethnicity")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(kw_only=True, slots=True)
class MeasureConfig:
    """num_photos: held-out photos for the autoencoder. num_faces, num_losses: of them, for the
    feature network and for the noise levels.

    num_imagined: pictures drawn from captions for KID, with imagined_guidance. num_portraits: photos for
    img2img at `strength`, with `guidance`. card: a Markdown file whose part between the two "measured"
    comments is replaced. study: a folder for the numbers, the losses and sheets of every stage.
    """

    num_photos: int = 1000
    num_faces: int = 500
    num_losses: int = 256
    num_imagined: int = 1000
    num_portraits: int = 128
    num_steps: int = 20
    imagined_guidance: float = 4.0
    strength: float = 0.5
    guidance: float = 3.0
    card: Path | None = None
    study: Path | None = None


def measure_stage(
    base: "BaseModel",
    photos: Photos,
    folder: Path,
    measure: MeasureConfig,
    model: ModelConfig,
    style: Pixelation,
    finish: "Finish",
) -> None:
    """Writes folder/measured.json and prints the table. Raises ValueError when too few are held out."""
    from pixelpersona.build.base_study import write_base_study
    from pixelpersona.build.features import measure_features, newest_features
    from pixelpersona.data.sources import caption_of

    pictures = photos.heldout(measure.num_photos)
    if len(pictures) < _FEWEST:
        raise ValueError(
            f"dataset.heldout_share: {len(pictures)} photos held out; stage=measure needs {_FEWEST} or more"
        )
    ids = photos.heldout_ids[: measure.num_photos]
    captions = [caption_of(photos.source, photo_id) for photo_id in ids]
    extractor = newest_features(folder)
    found = {
        "base_sha256": base.sha256,
        "num_photos": len(pictures),
        "autoencoder": _autoencoder(base, pictures),
        "loss_by_level": _losses(base, pictures[: measure.num_losses], captions),
        "features": measure_features(extractor, pictures[: measure.num_faces], ids, captions, style),
        "text_to_image": _text_to_image(base, pictures, captions, measure, extractor),
        "img2img": _img2img(base, pictures, ids, measure, model.prompt, extractor),
    }
    if (folder / "portraits.json").is_file():
        found["portraits"] = json.loads((folder / "portraits.json").read_text(encoding="utf-8"))
    write_whole(folder / "measured.json", json.dumps(found, indent=2) + "\n")
    table = measured_table(found)
    print(table)
    if measure.card is not None:
        replace_part(measure.card, table)
    if measure.study is not None:
        write_base_study(measure.study, folder, base, extractor, found, table, model, style, finish)


def measured_table(found: dict[str, Any]) -> str:
    """Markdown, one row per number."""
    auto, drawn, kept = found["autoencoder"], found["text_to_image"], found["img2img"]
    losses = ", ".join(f"{loss:.3f}" for loss in found["loss_by_level"])
    rows = [
        (f"reconstruction of {found['num_photos']} photos", _quality(auto["photo"])),
        ("reconstruction of block images made of them", _quality(auto["block"])),
        ("loss of noise prediction by tenths of the noise levels, least noise first", losses),
        (
            f"KID persona of {drawn['num']} pictures drawn from captions to the photos",
            _interval(drawn["kid"]),
        ),
        ("the same of two halves of the photos", _interval(drawn["floor"])),
        ("gender the feature network sees in them: as the caption says", _share(drawn["gender_agreement"])),
        ("age it sees in them: mean distance from the caption's", f"{drawn['age_error']:.1f} years"),
        (
            f"img2img at strength {kept['strength']:g}: structure kept, {kept['num']} photos",
            _interval(kept["structure"]),
        ),
        (
            "the same: likeness to the own photo, above this share of wrong pairs",
            _share(kept["above_wrong"]),
        ),
    ]
    if "portraits" in found:
        near = found["portraits"]
        rows.append(
            (
                "likeness of the portraits to the nearest training photo: median, highest",
                f"{near['kept_nearest_median']:.3f}, {near['kept_nearest_highest']:.3f}",
            )
        )
        rows.append(
            (
                "the same of training photos to each other: median, 99th percentile",
                f"{near['photos_nearest_median']:.3f}, {near['photos_nearest_99th_percentile']:.3f}",
            )
        )
    rows += _features_rows(found["features"])
    return "\n".join(
        ["| on kept-out photos | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def _features_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    lowered = ", ".join(f"{name} {value:.2f}" for name, value in found["likeness"].items())
    return [
        (
            f"feature network: pixel art of an altered photo finds its own among {found['num']}",
            _interval(found["top1"]),
        ),
        ("the same by 12x12 colours inside the face, the floor", _interval(found["layout_top1"])),
        ("likeness to the photo", lowered),
        ("gender, ethnicity: as labelled", ", ".join(_share(found[f"{key}_accuracy"]) for key in _CLASSES)),
        ("age: mean error", f"{found['age_error']:.1f} years"),
        *((f"KID of {name} to pixel art", _interval(value)) for name, value in found["style"].items()),
    ]


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _quality(values: dict[str, float]) -> str:
    return f"{values['psnr']:.2f} dB PSNR, {values['ssim']:.3f} SSIM"


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def replace_part(card: Path, table: str) -> None:
    """Put the table between the two comments. Raises ValueError naming the file when they are not there."""
    text = card.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"measure.card={card}: needs a line {BEGIN} and a line {END}")
    write_whole(card, f"{before}{BEGIN}\n{table}\n{END}{after}")


def _autoencoder(base: "BaseModel", pictures: "NDArray[np.uint8]") -> dict[str, Any]:
    import torch

    from pixelpersona.evaluation.reconstruction import reconstruction
    from pixelpersona.models.codec import to_uint8, to_unit
    from pixelpersona.training.objectives.autoencoder import block_images

    blocks = to_uint8(block_images(to_unit(pictures), base.cell, torch.Generator().manual_seed(0)))
    return {
        "photo": asdict(reconstruction(base.vae, pictures)),
        "block": asdict(reconstruction(base.vae, blocks)),
    }


def _losses(base: "BaseModel", pictures: "NDArray[np.uint8]", captions: list[str]) -> list[float]:
    from pixelpersona.models.codec import Codec
    from pixelpersona.training.objectives.diffusion import DiffusionObjective
    from pixelpersona.training.validation import loss_by_level

    codec = Codec(base)
    objective = DiffusionObjective(base.unet, base.noise_schedule)
    text = codec.encode_text(captions[: len(pictures)])
    return loss_by_level(objective, codec.encode_images(pictures), text)


def _text_to_image(
    base: "BaseModel",
    pictures: "NDArray[np.uint8]",
    captions: list[str],
    measure: MeasureConfig,
    extractor: "PersonaFeatures",
) -> dict[str, Any]:
    from pixelpersona.build.features import attribute_errors
    from pixelpersona.evaluation.distribution import kid
    from pixelpersona.inference.imagine import imagine

    num = min(measure.num_imagined, len(pictures))
    drawn = imagine(
        base,
        captions[:num],
        list(range(num)),
        num_steps=measure.num_steps,
        guidance=measure.imagined_guidance,
    )
    real = extractor.features(pictures[:num])
    images = np.stack([np.asarray(image) for image in drawn])
    found = extractor.features(images)
    errors = attribute_errors(extractor, images, captions[:num])
    return {
        "num": num,
        "guidance": measure.imagined_guidance,
        "features_sha256": extractor.sha256,
        "kid": asdict(kid(found, real)),
        "floor": asdict(kid(real[: num // 2], real[num // 2 :])),
        "gender_agreement": errors["gender_accuracy"],
        "age_error": errors["age_error"],
    }


def _img2img(
    base: "BaseModel",
    pictures: "NDArray[np.uint8]",
    ids: list[str],
    measure: MeasureConfig,
    prompt: str,
    extractor: "PersonaFeatures",
) -> dict[str, Any]:
    from pixelpersona.evaluation.fidelity import altered_photo
    from pixelpersona.evaluation.result import bootstrap_mean
    from pixelpersona.inference.sampler import Sampler
    from pixelpersona.inference.stylizer import Stylizer
    from pixelpersona.models.features import similarities
    from pixelpersona.pixel.grid import Grid
    from pixelpersona.pixel.score import structure

    photos = [Image.fromarray(picture) for picture in pictures[: measure.num_portraits]]
    sampler = Sampler(
        kind="dpm", num_steps=measure.num_steps, strength=measure.strength, guidance=measure.guidance
    )
    made = Stylizer(base, sampler=sampler, prompt=prompt).portraits(photos, list(range(len(photos))))
    drawn = np.stack([np.asarray(portrait.image) for portrait in made])
    altered = [altered_photo(photo, name) for photo, name in zip(photos, ids, strict=False)]
    alike = similarities(
        extractor.likeness_features(np.stack([np.asarray(photo) for photo in altered])),
        extractor.likeness_features(drawn),
    ).numpy()
    own = np.diag(alike)
    wrong = ~np.eye(len(own), dtype=bool)
    grid = Grid.of(base.image_size, base.image_size, base.cell)
    kept = [structure(photo, picture, grid) for photo, picture in zip(pictures, drawn, strict=False)]
    return {
        "num": len(photos),
        "strength": measure.strength,
        "structure": asdict(bootstrap_mean(kept)),
        "above_wrong": float((own[:, None] > alike)[wrong].mean()),
    }
