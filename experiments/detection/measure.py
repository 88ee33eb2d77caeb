"""Measure the face search on photos of faces, and on pictures without one.

    python experiments/detection/measure.py celeba.zip faces-128.zip matting-256.zip rates.json

celeba.zip: CelebA's Kaggle layout; its val and test photos are measured, which the landmark network has not
seen. Its faces are aligned, so the right place is known: (89, 123) of 178×218 pixels. faces-128.zip: UTKFace,
of which 150 photos per group are measured, with the face at (0.48, 0.41) of the side. matting-256.zip:
portraits with a mask of the person, whose faces' places are not known; cut into squares without a person
(background) and below the face (clothes, hands). A detection is right if its centre is at most 0.3 of its
width from the known place. The counts go to a JSON file, a table to stdout; no photo is written.
"""

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.stats import binomtest
from skimage import data as samples

from pixelpersona.pixel.damage import KINDS, damage
from pixelpersona.pixel.faces import find_face

PLACES = {"celeba": (89 / 178, 123 / 218), "utkface": (0.48, 0.41)}
NUM_ALL, NUM_PER_GROUP = 400, 150
CELEBA_GROUPS: dict[str, Callable[[dict[str, str]], bool]] = {
    "all": lambda _: True,
    "glasses": lambda row: row["Eyeglasses"] == "1",
    "hat": lambda row: row["Wearing_Hat"] == "1",
    "beard": lambda row: row["No_Beard"] == "-1",
    "fringe": lambda row: row["Bangs"] == "1",
    "not young": lambda row: row["Young"] == "-1",
    "blurry": lambda row: row["Blurry"] == "1",
    "women": lambda row: row["Male"] == "-1",
    "men": lambda row: row["Male"] == "1",
}
SAMPLES = [
    "brick",
    "camera",
    "cat",
    "cell",
    "clock",
    "coffee",
    "coins",
    "colorwheel",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "microaneurysms",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
    "horse",
    "checkerboard",
]
Picture = tuple[bytes, str | None]  # file, name of a change
Groups = Iterator[tuple[str, list[Picture]]]


def faded(photo: Image.Image) -> Image.Image:
    """An old print: half the contrast, grain, and a little blur."""
    soft = np.asarray(photo.convert("L").filter(ImageFilter.GaussianBlur(1.0)), dtype=float)
    grain = np.random.default_rng(0).normal(0.0, 16.0, soft.shape)
    return Image.fromarray((0.5 * soft + 70.0 + grain).clip(0.0, 255.0).astype(np.uint8)).convert("RGB")


def tilted(photo: Image.Image) -> Image.Image:
    """Rotated by 15 degrees around the face."""
    x, y = PLACES["celeba"]
    return photo.rotate(
        15, Image.Resampling.BICUBIC, center=(x * photo.width, y * photo.height), fillcolor=(120,) * 3
    )


CHANGES = {"faded": faded, "tilted": tilted} | {kind: partial(damage, kind=kind, seed=0) for kind in KINDS}


def examine(picture: Picture, place: tuple[float, float] | None) -> str:
    """What the search says of a picture: missed, doubtful, wrong or right."""
    data, change = picture
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    if change:
        photo = CHANGES[change](photo)
    face = find_face(photo)
    if face is None:
        return "missed"
    if place is not None:
        off = np.hypot(face.x - place[0] * photo.width, face.y - place[1] * photo.height)
        if off > 0.3 * face.width:
            return "doubtful and wrong" if face.is_doubtful else "wrong"
    return "doubtful" if face.is_doubtful else "right"


def counted(kinds: list[str]) -> dict[str, Any]:
    """Counts, the share of faces that are found in the right place, and its 95 % interval (Wilson 1927)."""
    counts = {
        kind: kinds.count(kind) for kind in ("right", "doubtful", "missed", "wrong", "doubtful and wrong")
    }
    num_right = counts["right"] + counts["doubtful"]
    interval = binomtest(num_right, len(kinds)).proportion_ci(method="wilson")
    return {
        "count": len(kinds),
        **counts,
        "found": round(num_right / len(kinds), 4),
        "interval": [round(float(interval.low), 4), round(float(interval.high), 4)],
    }


def table_row(source: str, name: str, row: dict[str, Any]) -> str:
    """A row of a Markdown table: photos, found in the right place with its interval, and the failures."""
    low, high = row["interval"]
    shares = f"{row['found']:.1%} ({low:.1%} to {high:.1%})"
    numbers = (row[kind] for kind in ("doubtful", "missed", "wrong", "doubtful and wrong"))
    return " | ".join(["", source, name, str(row["count"]), shares, *map(str, numbers), ""]).strip()


def spread(rows: list[Any], count: int) -> list[Any]:
    """At most `count` of the rows, evenly spaced."""
    return rows[:: max(1, len(rows) // count)][:count]


def celeba_groups(archive: zipfile.ZipFile) -> Groups:
    """Val and test photos by attribute, the darkest twentieth, and some with changes."""

    def table(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))

    parts = {row["image_id"]: row["partition"] for row in table("list_eval_partition.csv")}
    rows = [row for row in table("list_attr_celeba.csv") if parts[row["image_id"]] != "0"]
    folder = "img_align_celeba/img_align_celeba/"
    files = {row["image_id"]: archive.read(folder + row["image_id"]) for row in rows}
    for name, belongs in CELEBA_GROUPS.items():
        chosen = spread(
            [row["image_id"] for row in rows if belongs(row)], NUM_ALL if name == "all" else NUM_PER_GROUP
        )
        yield name, [(files[photo], None) for photo in chosen]
    lightness = {
        name: np.asarray(Image.open(io.BytesIO(file)).convert("L")).mean() for name, file in files.items()
    }
    darkest = sorted(files, key=lambda name: lightness[name])[: len(files) // 20]
    yield "darkest 5 %", [(files[name], None) for name in darkest]
    picked = spread(sorted(files), NUM_PER_GROUP)
    for change in CHANGES:
        yield change, [(files[name], change) for name in picked]


def utkface_groups(archive: zipfile.ZipFile) -> Groups:
    """Photos by ethnicity and age."""
    name = next(name for name in archive.namelist() if name.endswith("metadata.jsonl"))
    rows = [json.loads(line) for line in archive.read(name).decode().splitlines()]
    folder = name.removesuffix("metadata.jsonl")
    groups = {
        row["ethnicity"]: partial(lambda kind, row: row["ethnicity"] == kind, row["ethnicity"])
        for row in rows
    }
    groups |= {"below 10 years": lambda row: row["age"] < 10, "above 59 years": lambda row: row["age"] > 59}
    for group in sorted(groups):
        chosen = spread([row for row in rows if groups[group](row)], NUM_PER_GROUP)
        yield group, [(archive.read(folder + row["file_name"]), None) for row in chosen]


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def without_a_face(archive: zipfile.ZipFile) -> Groups:
    """Squares of background, and of the person below the face; sample pictures of scikit-image; noise."""
    background, below, people = [], [], []
    for line in archive.read("metadata.jsonl").decode().splitlines():
        row = json.loads(line)
        if row["split"] == "train":
            continue
        photo = Image.open(io.BytesIO(archive.read(row["file_name"]))).convert("RGB")
        pixels = np.asarray(photo)
        person = (
            np.asarray(Image.open(io.BytesIO(archive.read(row["mask"]))).convert("L").resize(photo.size))
            > 127
        )
        for left in (0, photo.width - 64):
            if not person[:64, left : left + 64].any():
                background.append((png(pixels[:64, left : left + 64].repeat(3, 0).repeat(3, 1)), None))
        people.append((archive.read(row["file_name"]), None))
        face = find_face(photo)
        if face is not None and not face.is_doubtful:
            top = round(face.y + 0.75 * face.width)
            if photo.height - top >= 64:
                below.append((png(pixels[top:].repeat(2, 0).repeat(2, 1)), None))
    yield "portraits", people  # the only ones with a face
    yield "background", background
    yield "clothes and hands", below
    pictures = [np.asarray(getattr(samples, name)()) for name in SAMPLES]
    pictures = [picture.astype(np.uint8) * 255 if picture.dtype == bool else picture for picture in pictures]
    yield (
        "sample pictures",
        [(png(picture[..., :3] if picture.ndim == 3 else picture), None) for picture in pictures],
    )
    noise = np.random.default_rng(0)
    yield "noise", [(png(noise.integers(0, 256, (192, 192, 3), dtype=np.uint8)), None) for _ in range(40)]


def main() -> None:
    """Measure all groups and write the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("celeba", "utkface", "matting", "results"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    sources = {"celeba": celeba_groups, "utkface": utkface_groups, "matting": without_a_face}
    results: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor() as pool:
        for source, groups in sources.items():
            rows = results[source] = {}
            with zipfile.ZipFile(getattr(args, source)) as archive:
                for name, pictures in groups(archive):
                    found = pool.map(partial(examine, place=PLACES.get(source)), pictures, chunksize=8)
                    rows[name] = counted(list(found))
                    print(table_row(source, name, rows[name]), flush=True)
    args.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
