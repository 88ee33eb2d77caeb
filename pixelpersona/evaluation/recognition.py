"""How well a feature network recognises people in pixel art, and which changes lower the likeness."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pixelpersona.data.randomness import numpy_rng
from pixelpersona.evaluation.distribution import MIN_PICTURES, kid
from pixelpersona.evaluation.fidelity import altered_photo, layout_similarities, top1
from pixelpersona.evaluation.intervals import Estimate, proportion
from pixelpersona.models.features import FeatureExtractor, likeness, similarities

_Draw = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
_MIN_PHOTOS = 2 * MIN_PICTURES  # KID compares two halves
_BLUR_CELLS = 64  # the blur's deviation is 1/64 of the side: soft, but with all features of the face
_NOISE_DEVIATION = 96.0  # of 255: the face is hard to recognise


@dataclass(frozen=True, slots=True)
class Recognition:
    """What `recognition` measured on `num` photos.

    top1: share of pixel-art pictures of altered photos whose own photo is the nearest by the network;
    layout_top1: the same by 12x12 colours inside the face, the floor. likeness: mean likeness to the photo of
    the altered photo's pixel art, and of the photo's "blur", "noise" and "wrong person". style: KID to pixel
    art of other people, of photos, of pictures half-way between photo and art, and of pixel art.
    """

    num: int
    top1: Estimate
    layout_top1: Estimate
    likeness: dict[str, float]
    style: dict[str, Estimate]


def recognition(
    photos: Sequence[Image.Image], photo_ids: Sequence[str], features: FeatureExtractor, draw: _Draw
) -> Recognition:
    """Measure a feature network on photos that it was not trained on.

    photos: RGB, of one size. draw: photo uint8 [H, W, 3] → pixel art of the same size. Every photo is changed
    by `altered_photo`, drawn as pixel art, and looked up among all photos.
    Raises ValueError for fewer than 8 photos.
    """
    if len(photos) < _MIN_PHOTOS:
        raise ValueError(f"recognition: {len(photos)} photos; accepted {_MIN_PHOTOS} or more")
    named = zip(photos, photo_ids, strict=True)
    altered = [altered_photo(photo, name, features.framing) for photo, name in named]
    drawn = np.stack([draw(np.asarray(photo)) for photo in altered])
    originals = np.stack([np.asarray(photo.convert("RGB")) for photo in photos])
    surface, people = features.views(originals)
    found = features.likeness_features(drawn)
    by_network = similarities(people, found)
    pictures = [Image.fromarray(picture) for picture in drawn]
    by_layout = layout_similarities(photos, pictures, features.framing)
    lowered = {
        "pixel art of the altered photo": by_network.diagonal(),
        "blur": likeness(people, features.likeness_features(_blurred(photos))),
        "noise": likeness(people, features.likeness_features(_noised(originals))),
        "wrong person": likeness(people, people.roll(1, dims=0)),
    }
    return Recognition(
        num=len(photos),
        top1=proportion(top1(by_network)),
        layout_top1=proportion(top1(by_layout)),
        likeness={name: float(values.mean()) for name, values in lowered.items()},
        style=_style(originals, surface, features, draw),
    )


def _style(
    photos: NDArray[np.uint8], surface: torch.Tensor, features: FeatureExtractor, draw: _Draw
) -> dict[str, Estimate]:
    """KID of one half of the people to pixel art of the other half, so that only the style differs."""
    half = len(photos) // 2
    art = np.stack([draw(photo) for photo in photos])
    blended = ((photos.astype(np.uint16) + art) // 2).astype(np.uint8)
    drawn = {"photos": surface[:half]}
    drawn |= {"half-way": features.features(blended[:half]), "pixel art": features.features(art[:half])}
    reference = features.features(art[half:])
    return {name: kid(found, reference) for name, found in drawn.items()}


def _blurred(photos: Sequence[Image.Image]) -> NDArray[np.uint8]:
    soft = ImageFilter.GaussianBlur(max(photos[0].size) / _BLUR_CELLS)
    return np.stack([np.asarray(photo.convert("RGB").filter(soft)) for photo in photos])


def _noised(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = numpy_rng(0, 0, "noise on photos").normal(0.0, _NOISE_DEVIATION, photos.shape)
    return np.clip(np.rint(photos + noise), 0, 255).astype(np.uint8)
