"""Contact sheets of a comparison: one row per photo, one column per variant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.files import whole
from pixelpersona.pixel.sheet import contact_sheet

_PHOTO = "photo"
_NOT_SHOWN = ("nearest", "target", "target-vae", "base-g1")  # the tables have their numbers


def save_sheets(
    folder: Path,
    pictures: Mapping[str, Sequence[tuple[Image.Image, NDArray[np.uint8]]]],
    order: Sequence[int],
    rows: int,
) -> list[Path]:
    """Write raw.png, snapped.png and worst.png with at most `rows` photos each; returns their paths.

    pictures: variant → raw RGB picture and snapped picture uint8 [H, W, 3] of every photo; one column each,
    in this order. order: photo indices for worst.png, lowest likeness first. raw.png and snapped.png show
    evenly spaced photos; the column "photo" is never snapped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in pictures if name not in _NOT_SHOWN]
    num_photos = len(next(iter(pictures.values())))
    spread = sorted({round(i) for i in np.linspace(0, num_photos - 1, min(rows, num_photos))})
    files = []
    for title, chosen in {"raw": spread, "snapped": spread, "worst": order[:rows]}.items():
        snapped = {name: title == "snapped" and name != _PHOTO for name in names}
        tiles = [[_tile(snapped[name], *pictures[name][i]) for name in names] for i in chosen]
        sheet = contact_sheet(tiles, column_titles=names)
        files.append(folder / f"{title}.png")
        with whole(files[-1]) as draft:
            sheet.quantize(256).save(draft, "PNG", optimize=True)
    return files


def _tile(snapped: bool, raw: Image.Image, snapped_pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(snapped_pixels) if snapped else raw
