"""Whether a portrait still shows the person: retrieval of the photo, and retrieval by layout as the floor.

img2img keeps the layout, so even blobs of colour would find their photo. The photos are therefore altered
first: another crop, other colours, another background.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from pixelpersona.data.randomness import numpy_rng
from pixelpersona.models.features import similarities
from pixelpersona.pixel.framing import face_part, framed_face_weight

GALLERY_SIZE = 256
"""Number of photos in the gallery, which is the start of the split. A portrait's own photo is looked up
there, and likeness is centred on its mean, so values do not depend on how many photos are measured."""

_MAX_CROP = 0.10  # largest change of the crop's side, as a share; half of it for its centre
_MAX_JITTER = 0.3
_MAX_TINT = 0.2
_LAYOUT_SIZE = 12


def altered_photo(photo: Image.Image, photo_id: str, framing: str = "tight") -> Image.Image:
    """The photo with another crop, other colours and another background; RGB of the same size.

    The crop's side changes by up to ±10 %, its centre by ±5 %; brightness, contrast and saturation by ±30 %,
    each colour channel by ±20 %; everything outside the ellipse of the face (`framed_face_weight`) gets one
    random colour.
    With ±20 % and no change of single channels, blobs of colour inside the ellipse still found 0.89 of 64
    photos. The result depends on the photo and its id alone.
    """
    rng = numpy_rng(0, photo_id, "altered photo")
    width, height = photo.size
    scale = 1.0 + rng.uniform(-_MAX_CROP, _MAX_CROP)
    center_x, center_y = 0.5 + rng.uniform(-_MAX_CROP / 2, _MAX_CROP / 2, size=2)
    picture = _crop(photo.convert("RGB"), scale, center_x * width, center_y * height)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(1.0 + rng.uniform(-_MAX_JITTER, _MAX_JITTER))
    tinted = np.minimum(np.asarray(picture) * (1.0 + rng.uniform(-_MAX_TINT, _MAX_TINT, size=3)), 255.0)
    background = rng.integers(0, 256, size=3)
    weight = framed_face_weight(width, height, framing)[..., None]
    blended = tinted * weight + background * (1.0 - weight)
    return Image.fromarray(np.rint(blended).astype(np.uint8))


def top1(similarity: Tensor) -> list[float]:
    """Per portrait, 1.0 if its own photo is the most similar one, else 0.0, also for a tie.

    similarity: float [N portraits, M photos], M at least N, own photos on the diagonal.
    """
    own = similarity.diagonal()
    others = similarity.masked_fill(torch.eye(*similarity.shape, dtype=torch.bool), -torch.inf)
    return [float(match) for match in own > others.max(dim=1).values]


def layout_similarities(
    photos: Sequence[Image.Image], portraits: Sequence[Image.Image], framing: str = "tight"
) -> Tensor:
    """Cosines of faces shrunk to 12x12 colours, float64 [portraits, photos]: the floor for likeness.

    framing: of both. Restricted to the ellipse of the face, as likeness is: otherwise the replaced background
    would decide, and the floor would be too low.
    """
    return similarities(_layout(photos, framing), _layout(portraits, framing))


def _crop(picture: Image.Image, scale: float, center_x: float, center_y: float) -> Image.Image:
    """Crop of `scale` times the picture's size around a centre, resized to that size; edges are repeated."""
    width, height = picture.size
    border = int(max(width, height) * (_MAX_CROP + 0.05)) + 2
    sides = ((border, border), (border, border), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(picture), sides, mode="edge"))
    half_x, half_y = scale * width / 2, scale * height / 2
    x, y = border + center_x, border + center_y
    box = (x - half_x, y - half_y, x + half_x, y + half_y)
    return padded.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _layout(pictures: Sequence[Image.Image], framing: str) -> Tensor:
    size = (_LAYOUT_SIZE, _LAYOUT_SIZE)
    faces = [picture.convert("RGB").crop(face_part(*picture.size, framing)) for picture in pictures]
    small = [np.asarray(face.resize(size, Image.Resampling.BOX)) / 255.0 for face in faces]
    weight = framed_face_weight(_LAYOUT_SIZE, _LAYOUT_SIZE, "tight")[..., None]
    return torch.from_numpy(np.stack([(colors * weight).ravel() for colors in small]))
