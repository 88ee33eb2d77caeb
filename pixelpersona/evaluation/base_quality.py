"""How well a base draws without fine-tuning: from captions, and from photos by img2img."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.evaluation.attribute_errors import attribute_errors
from pixelpersona.evaluation.distribution import kid
from pixelpersona.evaluation.fidelity import altered_photo
from pixelpersona.evaluation.intervals import Estimate, bootstrap_mean
from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.inference.text_to_image import text_to_image
from pixelpersona.models.base import BaseModel
from pixelpersona.models.features import PersonaFeatures, similarities
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import structure


@dataclass(frozen=True, slots=True)
class TextToImageQuality:
    """Of `num` pictures drawn from captions.

    kid: KID persona to the photos; floor: that of one half of the photos to the other. gender_agreement:
    share in which the feature network predicts the caption's gender, of the num_gender captions that mention
    one. age_error: mean absolute difference between predicted age and caption's age, years.
    """

    num: int
    guidance: float
    features_sha256: str
    kid: Estimate
    floor: Estimate
    gender_agreement: float
    num_gender: int
    age_error: float


def text_to_image_quality(
    base: BaseModel,
    photos: NDArray[np.uint8],
    captions: Sequence[str],
    features: PersonaFeatures,
    *,
    num_steps: int,
    guidance: float,
) -> TextToImageQuality:
    """Draw one picture per caption, with its index as the seed, and compare the set with the photos.

    photos: uint8 [N, H, W, 3], with one caption each, N at least 8.
    """
    num = len(photos)
    images = text_to_image(base, captions, list(range(num)), num_steps=num_steps, guidance=guidance)
    drawn = np.stack([np.asarray(image) for image in images])
    real_features = features.features(photos)
    errors = attribute_errors(features, drawn, captions)
    return TextToImageQuality(
        num=num,
        guidance=guidance,
        features_sha256=features.sha256,
        kid=kid(features.features(drawn), real_features),
        floor=kid(real_features[: num // 2], real_features[num // 2 :]),
        gender_agreement=errors["gender_accuracy"],
        num_gender=round(errors["num_gender"]),
        age_error=errors["age_error"],
    )


@dataclass(frozen=True, slots=True)
class Img2ImgQuality:
    """Of `num` photos redrawn by img2img at `strength`.

    structure: structural similarity to the photo, one value per cell (see `pixel.score.structure`).
    above_wrong: share of the pairs of a portrait and another person's photo whose likeness is below that of
    the portrait to its own photo, 0 to 1.
    """

    num: int
    strength: float
    structure: Estimate
    above_wrong: float


def img2img_quality(
    base: BaseModel,
    photos: NDArray[np.uint8],
    photo_ids: Sequence[str],
    features: PersonaFeatures,
    *,
    prompt: str,
    sampler: Sampler,
) -> Img2ImgQuality:
    """Redraw every photo, with its index as the seed, and compare it with its photo.

    photos: uint8 [N, H, W, 3], of the base's image size. The likeness is to photos changed by
    `altered_photo`, because img2img keeps the layout of the photo itself.
    """
    pictures = [Image.fromarray(photo) for photo in photos]
    portraits = Stylizer(base, sampler=sampler, prompt=prompt).portraits(pictures, list(range(len(photos))))
    drawn = np.stack([np.asarray(portrait.image) for portrait in portraits])
    named = zip(pictures, photo_ids, strict=True)
    altered = [altered_photo(photo, name, features.framing) for photo, name in named]
    people = features.likeness_features(np.stack([np.asarray(picture) for picture in altered]))
    likeness = similarities(people, features.likeness_features(drawn)).numpy()
    is_wrong = ~np.eye(len(photos), dtype=bool)
    grid = Grid.of(base.image_size, base.image_size, base.cell)
    kept = [structure(photo, picture, grid) for photo, picture in zip(photos, drawn, strict=True)]
    return Img2ImgQuality(
        num=len(photos),
        strength=sampler.strength,
        structure=bootstrap_mean(kept),
        above_wrong=float((np.diag(likeness)[:, None] > likeness)[is_wrong].mean()),
    )
