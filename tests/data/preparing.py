"""Shared by the tests of pairs and caches: a recipe, eight small photos, an encoder without a network."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pixelpersona.data.augment import Augmentation
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.recipe import PairRecipe
from pixelpersona.data.sources import FolderSource
from pixelpersona.pixel.pixelation import Pixelation

RECIPE = PairRecipe(
    size=16,
    framing="center",
    pixelate=Pixelation(factor=4, palette=2),
    augment=Augmentation(
        flip=0.5, degrees=5, translate=0.03, scale=0.05, brightness=0.1, contrast=0.1, saturation=0.1
    ),
    variants=1,
    caption="pixel art",
)


class Encoder:
    """Latents are the top left pixels of 4x4 cells, text states are ones."""

    sha256 = "1" * 64

    def encode_images(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images[:, ::4, ::4].astype(np.float32)).permute(0, 3, 1, 2)

    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(captions), 3, 2)


def write_photos(folder: Path) -> Path:
    """Eight photos, two of them val."""
    folder.mkdir()
    for i in range(8):
        coarse = np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((24, 24)).save(folder / f"p{i}.png")
    rows = [json.dumps({"file_name": f"p{i}.png", "split": "val" if i < 2 else "train"}) for i in range(8)]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


def prepare(
    photos: Path, root: Path, recipe: PairRecipe = RECIPE, *, workers: int = 1, thorough: bool = False
) -> PairSet:
    source = FolderSource(photos)
    return prepare_pairs(source, recipe, root, num_workers=workers, thorough=thorough)


def change(photos: Path) -> None:
    """Append a byte to a photo's file: the same picture with another hash."""
    with (photos / "p5.png").open("ab") as stream:
        stream.write(b"\0")


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of all files, by relative name."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }
