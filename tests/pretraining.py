"""Photos and settings of small pretraining runs."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

SMALL = [
    "autoencoder.num_steps=2",
    "autoencoder.batch_size=2",
    "unet.num_steps=3",
    "unet.batch_size=2",
    "features.num_steps=3",
    "features.batch_size=4",
    "landmarks.num_steps=3",
    "landmarks.batch_size=4",
    "landmarks.num_statistics_batches=2",
    "portraits.num_drawn=5",
    "portraits.num_kept=4",
    "portraits.num_val=1",
    "portraits.num_test=1",
    "portraits.num_steps=2",
    "measure.num_photos=8",
    "measure.num_text_to_image=8",
    "measure.num_steps=4",
    "dataset.test_share=0.3",
]


def into(root: Path) -> list[str]:
    """Settings that write below `root`."""
    return [f"paths.runs={root}", f"paths.cache={root / 'cache'}"]


def save_photos(archive: Path, labels: list[dict[str, object]]) -> Path:
    """Write a zip of random crops of a public-domain portrait, one per row of metadata."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(archive, "w") as zipped:
        for number in range(len(labels)):
            top, left = rng.integers(0, 200, 2)
            with zipped.open(f"faces/{number}.png", "w") as file:
                crop = Image.fromarray(astronaut()[top : top + 256, left : left + 256])
                crop.resize((128, 128)).save(file, "PNG")
        rows = [{"file_name": f"{number}.png"} | label for number, label in enumerate(labels)]
        zipped.writestr("faces/metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return archive
