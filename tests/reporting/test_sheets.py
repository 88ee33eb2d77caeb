"""Contact sheets: which photos and variants they show."""

from pathlib import Path

import numpy as np
from PIL import Image

from pixelpersona.reporting.sheets import save_sheets

TILE, GAP = 128, 6  # defaults of pixel.sheet.contact_sheet
SNAPPED = 40  # added to all colours
LEVEL = {"photo": 0, "nearest": 10, "base": 20, "lora-r4": 30}  # red of photo 0


def picture(red: int) -> Image.Image:
    return Image.new("RGB", (16, 16), (red, 0, 0))


def reds(file: Path) -> list[list[int]]:
    """Red in the middle of every tile, by rows."""
    pixels = np.asarray(Image.open(file).convert("RGB"))[..., 0]
    rows = [
        pixels.shape[0] - GAP - TILE // 2 - i * (TILE + GAP) for i in range(pixels.shape[0] // (TILE + GAP))
    ]
    columns = range(GAP + TILE // 2, pixels.shape[1], TILE + GAP)
    return [[int(pixels[y, x]) for x in columns] for y in reversed(rows)]


def test_sheets_show_evenly_spaced_and_worst_photos_of_all_but_most_references(tmp_path: Path) -> None:
    pictures = {
        name: [(picture(red + 50 * i), np.asarray(picture(red + 50 * i + SNAPPED))) for i in range(4)]
        for name, red in LEVEL.items()
    }
    files = save_sheets(tmp_path / "sheets", pictures, order=[2, 1, 0, 3], rows=2)
    assert [file.name for file in files] == ["raw.png", "snapped.png", "worst.png"]
    raw, snapped, worst = map(reds, files)
    assert raw == [[0, 20, 30], [150, 170, 180]]  # photos 0 and 3, without "nearest"
    assert snapped == [[0, 60, 70], [150, 210, 220]]  # the photo itself is not snapped
    assert worst == [[100, 120, 130], [50, 70, 80]]  # photos 2 and 1
