"""The three ways to cut a square out of a photo, by the names that settings use."""

from PIL import Image

from pixelpersona.pixel.portrait import TIGHT, WIDE, center_square, crop_portrait

FRAMINGS = ("tight", "wide", "center")


def crop_square(image: Image.Image, size: int, framing: str) -> Image.Image:
    """RGB square of `size` pixels: "tight" or "wide" around the face, or the "center" of the photo.

    Raises ValueError for another name.
    """
    match framing:
        case "tight":
            return crop_portrait(image, size, TIGHT)
        case "wide":
            return crop_portrait(image, size, WIDE)
        case "center":
            return center_square(image, size)
    raise ValueError(f"framing={framing}: accepted {', '.join(FRAMINGS)}")
