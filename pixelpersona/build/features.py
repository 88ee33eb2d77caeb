"""The feature network: `pretrain stage=features` trains it, everything that judges pictures loads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelpersona.build.pretraining import Photos, StageConfig, stage_run
from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixelpersona.models.features import PersonaFeatures
    from pixelpersona.training.pretraining import OpenTracker

_NETWORK = "persona"  # the folder's name in a run, as among the assets


def train_features_stage(
    photos: Photos,
    folder: Path,
    stage: StageConfig,
    style: Pixelation,
    open_tracker: "OpenTracker",
    seed: int,
) -> None:
    """Writes folder/persona/persona.safetensors, in fp16, from photos, drawings of them and captions.

    style: how every second photo is drawn, beside simpler ways.
    """
    import torch

    from pixelpersona.data.attributes import read_attributes
    from pixelpersona.data.drawings import drawn_cells
    from pixelpersona.data.views import ViewBatches
    from pixelpersona.models import tiny
    from pixelpersona.models.persona_net import ETHNICITIES, GENDERS, PersonaNet, save_persona_net
    from pixelpersona.training.pretraining import train_features

    images = photos.train()
    batches = ViewBatches(
        images,
        drawn_cells(folder / "photos.npy", style, tiny.CELL, folder / "drawings.npy"),
        [read_attributes(photos.source.caption(photo_id)) for photo_id in photos.ids],
        genders=GENDERS,
        ethnicities=ETHNICITIES,
        batch_size=stage.batch_size,
        seed=seed,
    )
    torch.manual_seed(seed)
    net = PersonaNet()
    train_features(net, batches, stage_run(stage, folder / "features", open_tracker, seed))
    print(f"wrote {save_persona_net(net, folder / _NETWORK)}")


def newest_features(folder: Path) -> "PersonaFeatures":
    """Of the network that stage=features wrote into `folder`, if it did; else of the packaged one."""
    from pixelpersona.models.features import PersonaFeatures

    made = folder / _NETWORK
    return PersonaFeatures(made if made.is_dir() else None)


def measure_features(
    extractor: "PersonaFeatures",
    pictures: "NDArray[np.uint8]",
    ids: Sequence[str],
    captions: Sequence[str],
    style: Pixelation,
) -> dict[str, Any]:
    """What `recognition` and `attribute_errors` find on photos uint8 [N, H, W, 3] kept out of training."""
    from dataclasses import asdict

    from PIL import Image

    from pixelpersona.data.recipe import pixelize
    from pixelpersona.evaluation.recognition import recognition

    num = len(pictures)
    found = recognition(
        [Image.fromarray(picture) for picture in pictures],
        ids[:num],
        extractor,
        lambda photo: pixelize(photo, style)[0],
    )
    errors = attribute_errors(extractor, pictures, captions[:num])
    return {"features_sha256": extractor.sha256, **asdict(found), **errors}


def attribute_errors(
    extractor: "PersonaFeatures", pictures: "NDArray[np.uint8]", captions: Sequence[str]
) -> dict[str, float]:
    """gender_accuracy, ethnicity_accuracy (shares) and age_error (mean, years), where captions say them.

    NaN where none does.
    """
    from pixelpersona.data.attributes import read_attributes
    from pixelpersona.models.persona_net import ETHNICITIES, GENDERS

    seen = extractor.personas(pictures)
    said = [read_attributes(caption) for caption in captions]

    def accuracy(logits: "NDArray[np.float32]", classes: Sequence[str], labels: list[str | None]) -> float:
        pairs = zip(logits.argmax(axis=1), labels, strict=True)
        return _mean([float(classes[guess] == label) for guess, label in pairs if label is not None])

    return {
        "gender_accuracy": accuracy(seen.gender.numpy(), GENDERS, [a.gender for a in said]),
        "ethnicity_accuracy": accuracy(seen.ethnicity.numpy(), ETHNICITIES, [a.ethnicity for a in said]),
        "age_error": _mean(
            [abs(age - a.age) for age, a in zip(seen.age.tolist(), said, strict=True) if a.age is not None]
        ),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
