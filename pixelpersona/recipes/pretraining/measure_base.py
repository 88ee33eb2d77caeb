"""`pretrain stage=measure`: how good a base and the feature network are, on test photos."""

import json
from dataclasses import asdict
from typing import Any

import torch
from PIL import Image

from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.data.sources import caption_of
from pixelpersona.evaluation.attribute_errors import attribute_errors
from pixelpersona.evaluation.base_quality import img2img_quality, text_to_image_quality
from pixelpersona.evaluation.distribution import MIN_PICTURES
from pixelpersona.evaluation.framed_features import FramedFeatures
from pixelpersona.evaluation.recognition import recognition
from pixelpersona.evaluation.reconstruction import reconstruction
from pixelpersona.files import read_json, write_whole
from pixelpersona.inference.sampler import Sampler
from pixelpersona.models.base import load_base
from pixelpersona.models.codec import Codec, to_uint8, to_unit
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.recipes.model import load_model
from pixelpersona.recipes.pretraining.stage import Photos
from pixelpersona.recipes.pretraining.write_study import write_study
from pixelpersona.reporting.base_table import base_table, replace_table
from pixelpersona.terminal import say
from pixelpersona.training.objectives.autoencoder import block_images
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.validation import loss_by_level

_MIN_PHOTOS = 2 * MIN_PICTURES  # KID compares two halves


def measure_base(config: PretrainConfig, photos: Photos) -> None:
    """Write <run>/measured.json and print it as a table; update measure.card and measure.study.

    Measures the base and the feature network of the run, or those of `model` and the packaged network where
    the run has none. Raises ValueError when there are fewer than 8 test photos.
    """
    measure, model, folder = config.measure, config.model, photos.folder
    pictures = photos.load(photos.test_ids[: measure.num_photos])
    if len(pictures) < _MIN_PHOTOS:
        raise ValueError(
            f"dataset.test_share={config.dataset.test_share:g}: {len(pictures)} test photos; "
            f"stage=measure needs {_MIN_PHOTOS} or more"
        )
    ids = photos.test_ids[: len(pictures)]
    captions = [caption_of(photos.source, photo_id) for photo_id in ids]
    own = folder / "base"
    base = load_base(own, name=model.name) if own.is_dir() else load_model(model)
    features = FramedFeatures(model.framing, folder / "persona" if (folder / "persona").is_dir() else None)
    measured: dict[str, Any] = {"base_sha256": base.sha256, "num_photos": len(pictures)}

    blocks = to_uint8(block_images(to_unit(pictures), base.cell, torch.Generator().manual_seed(0)))
    kinds = {"photo": pictures, "block": blocks}
    measured["autoencoder"] = {kind: asdict(reconstruction(base.vae, of)) for kind, of in kinds.items()}

    codec, num = Codec(base), measure.num_losses
    measured["loss_by_level"] = loss_by_level(
        DiffusionObjective(base.unet, base.noise_schedule),
        codec.encode_images(pictures[:num]),
        codec.encode_text(captions[:num]),
    )

    num, style = measure.num_faces, Pixelation(**asdict(config.pixelate))
    faces = [Image.fromarray(picture) for picture in pictures[:num]]
    found = recognition(faces, ids[:num], features, lambda photo: pixelize(photo, style)[0])
    errors = attribute_errors(features, pictures[:num], captions[:num])
    measured["features"] = {"features_sha256": features.sha256, **asdict(found), **errors}

    num, steps, guidance = measure.num_text_to_image, measure.num_steps, measure.text_to_image_guidance
    drawn = text_to_image_quality(
        base, pictures[:num], captions[:num], features, num_steps=steps, guidance=guidance
    )
    measured["text_to_image"] = asdict(drawn)

    num = measure.num_portraits
    sampler = Sampler(kind="dpm", num_steps=steps, strength=measure.strength, guidance=measure.guidance)
    stylized = img2img_quality(
        base, pictures[:num], ids[:num], features, prompt=model.prompt, sampler=sampler
    )
    measured["img2img"] = asdict(stylized)

    if (folder / "portraits.json").is_file():
        measured["portraits"] = read_json(folder / "portraits.json", dict)
    write_whole(folder / "measured.json", json.dumps(measured, indent=2) + "\n")
    table = base_table(measured)
    say(*table.split("\n"))
    if measure.card is not None:
        replace_table(measure.card, table)
    if measure.study is not None:
        write_study(config, measure.study, base, features, measured)
