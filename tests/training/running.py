"""A complete training run in seconds: four steps of the micro base on crops of a public-domain portrait."""

import json
from pathlib import Path

from PIL import Image
from skimage.data import astronaut


def train_words(root: Path, base: Path) -> list[str]:
    """Overrides of `train` except paths.runs; writes the photos below `root`.

    Validation and samples run after every second step.
    """
    photos = root / "photos"
    photos.mkdir()
    rows = []
    for number in range(8):
        crop = Image.fromarray(astronaut()[number * 20 : number * 20 + 200, 100:300]).resize((48, 48))
        crop.save(photos / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "split": "val" if number < 4 else "train"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (photos / "metadata.jsonl").write_text(lines, encoding="utf-8")
    return [
        "dataset=folder", "dataset.test_share=0", f"dataset.path={photos}", "dataset.framing=center",
        f"paths.cache={root / 'cache'}", f"model.path={base}", "model.image_size=32",
        "model.cell=4", "loop=quick", "loop.num_steps=4", "loop.log_every_steps=1", "loop.ema_decay=0.9",
        "loop.validate_every_steps=2", "loop.sample_every_steps=2", "loop.checkpoint_every_steps=4",
        "sampler=fast", "dataset.num_workers=1",
    ]  # fmt: skip
