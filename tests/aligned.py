"""Generated photos in the layout of CelebA, with a dot in its own colour at each of the five landmarks."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LANDMARKS = ((69, 111), (109, 111), (89, 135), (73, 152), (105, 152))  # x and y of the pixels
DOTS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))
BACKGROUND = 96
_RADIUS = 3


def dotted_photo(background: int = BACKGROUND) -> NDArray[np.uint8]:
    """uint8 [218, 178, 3]: grey, with square dots of 7x7 pixels."""
    photo = np.full((218, 178, 3), background, np.uint8)
    for (x, y), color in zip(LANDMARKS, DOTS, strict=True):
        photo[y - _RADIUS : y + _RADIUS + 1, x - _RADIUS : x + _RADIUS + 1] = color
    return photo


def save_celeba(root: Path, *, num_train: int, num_val: int) -> Path:
    """Write photos of different greys with their partition."""
    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    rows = ["image_id,partition"]
    for number in range(num_train + num_val):
        Image.fromarray(dotted_photo(40 + 4 * number)).save(folder / f"{number:06d}.png")
        rows.append(f"{number:06d}.jpg,{int(number >= num_train)}")
    rows.append("999999.jpg,2")
    (root / "list_eval_partition.csv").write_text("\n".join([*rows, ""]))
    return root
