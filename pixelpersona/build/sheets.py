"""The contact sheets of a comparison: the same photos in rows, one column per variant."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pixelpersona.writing import whole

if TYPE_CHECKING:
    from pixelpersona.inference.portrait import Portrait

_PHOTO = "photo"
# Photo, the algorithm to beat, base, translator, LoRAs: what is left out is told by its numbers.
_LEFT_OUT = ("nearest", "teacher", "teacher-vae", "base-g1")


def save_sheets(
    folder: Path, portraits: dict[str, list["Portrait"]], order: Sequence[int], rows: int
) -> list[Path]:
    """raw.png, snapped.png and worst.png: the photo itself first, then the variants in the table's order.

    order: photo indices, worst likeness of the trained variants first; raw and snapped take evenly spread
    photos.
    """
    from pixelpersona.pixel.sheet import contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in portraits if name not in _LEFT_OUT]
    num_photos = len(next(iter(portraits.values())))
    spread = sorted({round(i) for i in np.linspace(0, num_photos - 1, min(rows, num_photos))})
    files = []
    for file_name, chosen, snapped in (
        ("raw", spread, False),
        ("snapped", spread, True),
        ("worst", order[:rows], False),
    ):
        tiles = [
            [_picture(portraits[name][index], snapped and name != _PHOTO) for name in names]
            for index in chosen
        ]
        sheet = contact_sheet(tiles, column_titles=names)
        files.append(folder / f"{file_name}.png")
        with whole(files[-1]) as draft:
            sheet.quantize(256).save(draft, "PNG", optimize=True)
    return files


def _picture(portrait: "Portrait", snapped: bool) -> Image.Image:
    return Image.fromarray(portrait.snapped.image()) if snapped else portrait.image
